//! Unlikelihood on whole responses: every token of a judged response is made less likely.

use crate::context::{ContextKind, Contexts};
use crate::objective::{
    Objective, ObjectiveError, OptionError, TokenInputs, TokenTerms, non_negative, zeros_like,
};
use crate::tensor::Tensor;

/// `L = −(α/N) Σ_t ln(1 − p(y_t | y_<t, x))` for a judged example, `−(1/N) Σ_t ln p(y_t | y_<t, x)`
/// for a positive one.
///
/// The judgment's text is not read, only that there is one. A baseline: it punishes the blameless
/// tokens of a poor response with the others, and the paper reports that it does not converge.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Unlikelihood {
    #[cfg_attr(feature = "serde", serde(deserialize_with = "weight_unlike"))]
    weight_unlike: f64,
}

/// Reads α as [`Unlikelihood::new`] takes it.
#[cfg(feature = "serde")]
fn weight_unlike<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = serde::Deserialize::deserialize(deserializer)?;
    non_negative("weight_unlike", value).map_err(serde::de::Error::custom)
}

impl Unlikelihood {
    /// With weight α.
    ///
    /// # Errors
    /// If α is negative or not finite.
    pub fn new(weight_unlike: f64) -> Result<Self, OptionError> {
        Ok(Self { weight_unlike: non_negative("weight_unlike", weight_unlike)? })
    }

    /// α
    pub fn weight_unlike(&self) -> f64 {
        self.weight_unlike
    }
}

impl Default for Unlikelihood {
    /// α = 0.5, as in CUT.
    fn default() -> Self {
        Self { weight_unlike: 0.5 }
    }
}

impl Objective for Unlikelihood {
    fn contexts(&self, _is_judged: bool) -> Contexts {
        Contexts::PLAIN
    }

    fn terms<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<TokenTerms<T>, ObjectiveError<T::Error>> {
        let plain = inputs.log_probs_in(ContextKind::Plain)?;
        if !inputs.is_judged {
            return Ok(TokenTerms::likelihood(plain)?);
        }
        let zeros = zeros_like(plain)?;
        Ok(TokenTerms {
            l1: plain.log1mexp()?.affine(-self.weight_unlike, 0.0)?,
            inappropriate: zeros.affine(1.0, 1.0)?,
            raised: zeros.clone(),
            l2: zeros,
        })
    }
}
