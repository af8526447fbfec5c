//! An objective chosen at run time.

use crate::context::Contexts;
use crate::objective::{
    Cut, Hindsight, Mle, Objective, ObjectiveError, TokenInputs, TokenTerms, Unlikelihood,
};
use crate::tensor::Tensor;

/// One of the objectives. [`Objective`] is generic in its tensors, so it has no trait objects: this
/// is the choice instead.
///
/// Serialized as its options beside its name, such as
/// `{"objective": "unlikelihood", "weight_unlike": 0.5}`; options out of range are refused when
/// read.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    all(feature = "serde", feature = "alloc"),
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "objective", rename_all = "kebab-case")
)]
pub enum AnyObjective {
    /// Contrastive unlikelihood training.
    Cut(Cut),
    /// Maximum likelihood.
    Mle(Mle),
    /// Likelihood given the judgment.
    Hindsight(Hindsight),
    /// Unlikelihood on every token of judged responses.
    Unlikelihood(Unlikelihood),
}

impl Default for AnyObjective {
    /// CUT as in the paper.
    fn default() -> Self {
        Self::Cut(Cut::paper())
    }
}

impl Objective for AnyObjective {
    fn contexts(&self, is_judged: bool) -> Contexts {
        match self {
            Self::Cut(objective) => objective.contexts(is_judged),
            Self::Mle(objective) => objective.contexts(is_judged),
            Self::Hindsight(objective) => objective.contexts(is_judged),
            Self::Unlikelihood(objective) => objective.contexts(is_judged),
        }
    }

    fn terms<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<TokenTerms<T>, ObjectiveError<T::Error>> {
        match self {
            Self::Cut(objective) => objective.terms(inputs),
            Self::Mle(objective) => objective.terms(inputs),
            Self::Hindsight(objective) => objective.terms(inputs),
            Self::Unlikelihood(objective) => objective.terms(inputs),
        }
    }

    fn scale(&self, is_judged: bool) -> f64 {
        match self {
            Self::Cut(objective) => objective.scale(is_judged),
            Self::Mle(objective) => objective.scale(is_judged),
            Self::Hindsight(objective) => objective.scale(is_judged),
            Self::Unlikelihood(objective) => objective.scale(is_judged),
        }
    }
}
