//! An objective at a single token, with its derivatives.

use core::convert::Infallible;

use crate::context::PerContext;
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
    /// See [`crate::objective::TokenTerms::raised`].
    pub raised: bool,
    /// `d loss / d ln p(y_t | c)` for each context `c`; 0 in the contrast.
    pub weights: PerContext<f64>,
}

/// Evaluates an objective at one token.
///
/// # Errors
/// If a context that the objective asks for is missing.
pub fn token_loss<O: Objective>(
    objective: &O,
    inputs: &TokenInputs<'_, f64>,
) -> Result<TokenLoss, ObjectiveError<Infallible>> {
    let log_probs = PerContext {
        plain: inputs.log_probs.plain.map(|l| Dual::plain(*l)),
        judged: inputs.log_probs.judged.map(|l| Dual::judged(*l)),
        contrast: inputs.log_probs.contrast.map(|l| Dual::constant(*l)),
    };
    let [is_eos, quoted] =
        [inputs.is_eos, inputs.quoted].map(|mask| mask.map(|mask| Dual::constant(*mask)));
    let terms = objective.terms(&TokenInputs {
        is_judged: inputs.is_judged,
        log_probs: log_probs.as_ref().map(Option::as_ref),
        is_eos: is_eos.as_ref(),
        quoted: quoted.as_ref(),
    })?;
    let weights = [0, 1].map(|i| terms.l1.d[i] + terms.l2.d[i]);
    let scale = objective.scale(inputs.is_judged);
    Ok(TokenLoss {
        l1: terms.l1.value,
        l2: terms.l2.value,
        loss: scale * (terms.l1.value + terms.l2.value),
        inappropriate: terms.inappropriate.value > 0.5,
        raised: terms.raised.value > 0.5,
        weights: PerContext {
            plain: scale * weights[0],
            judged: scale * weights[1],
            contrast: 0.0,
        },
    })
}
