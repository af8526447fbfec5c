//! The loss of one example, with the weight of each of its tokens.

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use thiserror::Error;

use crate::context::{ContextKind, PerContext};
use crate::objective::{Objective, ObjectiveError, TokenInputs, token_loss};

/// The log-probabilities of one response, `(N,)` each, in the contexts it was read in.
pub type LogProbs = PerContext<Option<Vec<f64>>>;

/// Log-probabilities that no loss can be computed from.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// No tokens.
    #[error("there are no log-probabilities")]
    Empty,
    /// The contexts disagree on the length of the response.
    #[error("{found} log-probabilities in the {context} context, {expected} in the first one")]
    Length {
        /// The context that differs.
        context: ContextKind,
        /// Tokens in the first context.
        expected: usize,
        /// Tokens in this one.
        found: usize,
    },
    /// The mask of quoted tokens is for another response.
    #[error("{found} tokens are marked as quoted or not, the response has {expected}")]
    Quoted {
        /// Tokens of the response.
        expected: usize,
        /// Tokens of the mask.
        found: usize,
    },
    /// The objective cannot be evaluated.
    #[error(transparent)]
    Objective(#[from] ObjectiveError<Infallible>),
}

/// What is known of a response beside its log-probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks<'a> {
    /// Whether the example has a judgment, even if the objective does not read it.
    pub is_judged: bool,
    /// Whether the last token is the closing EOS.
    pub ends_with_eos: bool,
    /// Whether the judge quoted a token as wrong, `(N,)`; `None` if it quoted none.
    pub quoted: Option<&'a [bool]>,
}

/// The loss of one example, token by token and in sum.
///
/// ```
/// use cutq_core::example_loss::{ExampleLoss, LogProbs, Marks};
/// use cutq_core::objective::Cut;
///
/// // Reading the judgment turns the probabilities 0.5, 0.4 into 0.8, 0.2: it is about token 0.
/// let logs = |p: [f64; 2]| Some(p.map(f64::ln).to_vec());
/// let log_probs = LogProbs { plain: logs([0.5, 0.4]), judged: logs([0.8, 0.2]), contrast: None };
/// let marks = Marks { is_judged: true, ..Marks::default() };
/// let loss = ExampleLoss::new(&Cut::paper(), &log_probs, marks).expect("complete");
/// assert_eq!(loss.inappropriate, [0]);
/// assert!(loss.weights.plain[0] > 0.0, "gradient descent makes it less likely");
/// assert_eq!(loss.weights.plain[1], -0.5, "and the other as likely as any target: −1/N");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleLoss {
    /// Mean over tokens of what was learned from the judgment; 0 for a positive example.
    pub l1: f64,
    /// Mean over tokens of the likelihood terms.
    pub l2: f64,
    /// `scale · (l1 + l2)`, see [`Objective::scale`].
    pub loss: f64,
    /// The positions of U, ascending.
    pub inappropriate: Vec<usize>,
    /// Those of [`crate::objective::TokenTerms::raised`].
    pub raised: Vec<usize>,
    /// `d loss / d log_probs`, `(N,)` in each context; zeros in one that was not read, and in the
    /// contrast, which has no gradient.
    pub weights: PerContext<Vec<f64>>,
}

impl ExampleLoss {
    /// Evaluates `objective` on one response.
    ///
    /// # Errors
    /// If there are no tokens, contexts or marks differ in length, or a context is missing.
    pub fn new<O: Objective>(
        objective: &O,
        log_probs: &LogProbs,
        marks: Marks<'_>,
    ) -> Result<Self, LossError> {
        let n_tokens = n_tokens(log_probs)?;
        let Marks { is_judged, ends_with_eos, quoted } = marks;
        if let Some(found) = quoted.map(<[bool]>::len).filter(|found| *found != n_tokens) {
            return Err(LossError::Quoted { expected: n_tokens, found });
        }
        let n = n_tokens as f64;
        let mut example = Self {
            l1: 0.0,
            l2: 0.0,
            loss: 0.0,
            inappropriate: Vec::new(),
            raised: Vec::new(),
            weights: PerContext::from_fn(|_| vec![0.0; n_tokens]),
        };
        for t in 0..n_tokens {
            let is_eos = mask(ends_with_eos && t + 1 == n_tokens);
            let quoted = quoted.map(|quoted| mask(quoted[t]));
            let token = token_loss(
                objective,
                &TokenInputs {
                    is_judged,
                    log_probs: log_probs.as_ref().map(|l| l.as_ref().map(|l| &l[t])),
                    is_eos: Some(&is_eos),
                    quoted: quoted.as_ref(),
                },
            )?;
            example.l1 += token.l1 / n;
            example.l2 += token.l2 / n;
            example.loss += token.loss / n;
            if token.inappropriate {
                example.inappropriate.push(t);
            }
            if token.raised {
                example.raised.push(t);
            }
            for (context, weight) in token.weights.iter() {
                example.weights.get_mut(context)[t] = weight / n;
            }
        }
        Ok(example)
    }
}

fn mask(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

/// The number of tokens, the same in all contexts.
fn n_tokens(log_probs: &LogProbs) -> Result<usize, LossError> {
    let mut lengths = log_probs.iter().filter_map(|(kind, l)| Some((kind, l.as_ref()?.len())));
    let Some((_, expected)) = lengths.next().filter(|(_, len)| *len > 0) else {
        return Err(LossError::Empty);
    };
    match lengths.find(|(_, found)| *found != expected) {
        None => Ok(expected),
        Some((context, found)) => Err(LossError::Length { context, expected, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Cut, Hindsight, Mle, Unlikelihood};

    fn loss<O: Objective>(objective: &O, judged: Option<Vec<f64>>) -> ExampleLoss {
        let is_judged = judged.is_some();
        let log_probs = LogProbs { plain: Some(vec![-1.0, -3.0]), judged, contrast: None };
        let marks = Marks { is_judged, ..Marks::default() };
        ExampleLoss::new(objective, &log_probs, marks).expect("complete")
    }

    #[test]
    fn baselines_by_hand() {
        let judged = || Some(vec![-0.5, -0.7]);
        let mle = loss(&Mle, judged());
        assert_eq!((mle.loss, mle.weights.plain), (2.0, vec![-0.5, -0.5]));
        let hindsight = loss(&Hindsight, judged());
        assert_eq!((hindsight.loss, hindsight.weights.plain), (0.6, vec![0.0, 0.0]));
        assert_eq!(loss(&Hindsight, None).loss, 2.0);
        let unlikelihood = loss(&Unlikelihood::default(), judged());
        // −0.5 (ln(1 − e^−1) + ln(1 − e^−3)) / 2
        assert!((unlikelihood.loss - 0.127_436_081_582_448_88).abs() < 1e-12);
        assert!((unlikelihood.l1 - unlikelihood.loss).abs() < 1e-15);
        assert_eq!(unlikelihood.inappropriate, [0, 1]);
        assert_eq!(loss(&Unlikelihood::default(), None).loss, 2.0);
    }

    #[test]
    fn incomplete_log_probs_are_refused() {
        let marks = Marks { is_judged: true, ..Marks::default() };
        let new = |log_probs: LogProbs| ExampleLoss::new(&Cut::paper(), &log_probs, marks);
        assert_eq!(new(LogProbs::default()), Err(LossError::Empty));
        let plain = Some(vec![-1.0, -1.0]);
        let error = new(LogProbs { plain: plain.clone(), ..LogProbs::default() });
        let missing = ObjectiveError::MissingContext(ContextKind::Judged);
        assert_eq!(error, Err(LossError::Objective(missing)));
        let error =
            new(LogProbs { plain: plain.clone(), judged: Some(vec![-1.0]), contrast: None });
        let context = ContextKind::Judged;
        assert_eq!(error, Err(LossError::Length { context, expected: 2, found: 1 }));
        let both = LogProbs { judged: plain.clone(), plain, contrast: None };
        let marks = Marks { quoted: Some(&[true]), ..marks };
        let error = ExampleLoss::new(&Cut::paper(), &both, marks);
        assert_eq!(error, Err(LossError::Quoted { expected: 2, found: 1 }));
    }
}
