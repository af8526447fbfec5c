//! Hindsight: each response is learned in the context that makes it true.

use crate::context::{ContextKind, Contexts};
use crate::objective::{Objective, ObjectiveError, TokenInputs, TokenTerms};
use crate::tensor::Tensor;

/// `L = −(1/N) Σ_t ln p(y_t | y_<t, c)` with `c = x, j` for a judged example and `c = x` for a
/// positive one.
///
/// CUT without its `L1`: the model learns what a criticised response looks like, but nothing tells
/// it to avoid one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hindsight;

impl Objective for Hindsight {
    fn contexts(&self, is_judged: bool) -> Contexts {
        if is_judged { Contexts::JUDGED } else { Contexts::PLAIN }
    }

    fn terms<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<TokenTerms<T>, ObjectiveError<T::Error>> {
        let kind = if inputs.is_judged { ContextKind::Judged } else { ContextKind::Plain };
        Ok(TokenTerms::likelihood(inputs.log_probs_in(kind)?)?)
    }
}
