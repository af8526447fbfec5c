//! An objective at a single token, with its derivatives.

use core::convert::Infallible;

use crate::dual::Dual;
use crate::objective::{Objective, ObjectiveError, TokenInputs};

/// What one token adds to its example, before division by the number of tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLoss {
    /// See [`crate::objective::TokenTerms::l1`].
    pub l1: f64,
    /// See [`crate::objective::TokenTerms::l2`].
    pub l2: f64,
    /// `scale · (l1 + l2)`
    pub loss: f64,
    /// Whether the token is in U.
    pub inappropriate: bool,
    /// `[d loss / d ln p(y_t|x), d loss / d ln p(y_t|x,j)]`
    pub weights: [f64; 2],
}

/// Evaluates an objective at one token.
///
/// # Errors
/// If a context that the objective asks for is missing.
pub fn token_loss<O: Objective>(
    objective: &O,
    inputs: &TokenInputs<'_, f64>,
) -> Result<TokenLoss, ObjectiveError<Infallible>> {
    let plain = inputs.plain.map(|l| Dual::plain(*l));
    let judged = inputs.judged.map(|l| Dual::judged(*l));
    let contrast = inputs.contrast.map(|l| Dual::constant(*l));
    let is_eos = inputs.is_eos.map(|mask| Dual::constant(*mask));
    let terms = objective.terms(&TokenInputs {
        is_judged: inputs.is_judged,
        plain: plain.as_ref(),
        judged: judged.as_ref(),
        contrast: contrast.as_ref(),
        is_eos: is_eos.as_ref(),
    })?;
    let scale = objective.scale(inputs.is_judged);
    Ok(TokenLoss {
        l1: terms.l1.value,
        l2: terms.l2.value,
        loss: scale * (terms.l1.value + terms.l2.value),
        inappropriate: terms.inappropriate.value > 0.5,
        weights: [0, 1].map(|i| scale * (terms.l1.d[i] + terms.l2.d[i])),
    })
}
