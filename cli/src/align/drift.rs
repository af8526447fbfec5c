//! How far the model is from where it began.

use anyhow::{Context, Result};
use cutq_core::model::{Mode, Model, Sequence};
use cutq_core::template::Template;
use cutq_ffi::Engine;
use serde::{Deserialize, Serialize};

use super::judged::Judged;
use crate::data::{Encode, Prompt};
use crate::text::{AnyTemplate, Encoder};

/// How far the model of a round is from the base, which is the model of round 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// How differently the two models go on with the evaluation's answers, which are the round's model's
    /// own and likeliest, in nats per token:
    ///
    /// `(1/T) Σ_t [p_t ln(p_t / q_t) + (1 − p_t) ln((1 − p_t) / (1 − q_t))]`, with
    /// `p_t = p(y_t | x, y_<t)` and `q_t = p_base(y_t | x, y_<t)`, over all `T` tokens of the answers, the
    /// token that ends each included unless it was cut
    ///
    /// This is `KL(p ‖ p_base)` of the answer's token against any other, so it is at least 0 and at most
    /// the divergence over the vocabulary. It depends on no draw: estimates from log-probabilities, such
    /// as the mean of `ln(p_t / q_t)`, hold for answers that are drawn, and on the likeliest ones can be
    /// below 0.
    pub kl_base: f64,
    /// How much worse the round's model reads text that nobody trains on, the evaluation's prompts as the
    /// template renders them:
    ///
    /// `exp((1/T) Σ_t [ln p_base(x_t | x_<t) − ln p(x_t | x_<t)])` over all tokens but each prompt's first
    ///
    /// 1 is as well as the base; 2 is as if between twice as many tokens.
    pub ppl_ratio: f64,
}

/// The texts that drift is measured on, as tokens: what is given, and what is predicted.
pub(super) struct Texts {
    answers: Vec<(Vec<u32>, Vec<u32>)>,
    prompts: Vec<(Vec<u32>, Vec<u32>)>,
}

/// The log-probabilities that a model gives the tokens of some texts.
#[derive(Clone, Debug)]
pub(super) struct LogProbs {
    answers: Vec<f64>,
    prompts: Vec<f64>,
}

/// Tokens in a pass.
const PASS: usize = 1024;

impl Drift {
    /// The model of round 0.
    pub const NONE: Self = Self { kl_base: 0.0, ppl_ratio: 1.0 };

    /// The drift from `base` to `now`, over the same texts.
    pub(super) fn new(base: &LogProbs, now: &LogProbs) -> Self {
        let loss = |(now, base): (f64, f64)| base - now;
        Self {
            kl_base: mean(&now.answers, &base.answers, divergence),
            ppl_ratio: mean(&now.prompts, &base.prompts, loss).exp(),
        }
    }
}

/// The mean of `f` over the tokens; 0 without any.
fn mean(now: &[f64], base: &[f64], f: impl Fn((f64, f64)) -> f64) -> f64 {
    let sum: f64 = now.iter().copied().zip(base.iter().copied()).map(f).sum();
    sum / now.len().max(1) as f64
}

/// `p ln(p / q) + (1 − p) ln((1 − p) / (1 − q))` of `(ln p, ln q)`.
fn divergence((ln_p, ln_q): (f64, f64)) -> f64 {
    /// What is nearer to certain than this is rounding: the engine computes in `f32`.
    const CERTAIN: f64 = -1e-6;
    if ln_p.is_nan() || ln_q.is_nan() {
        // `min` and `max` would pass over it.
        return f64::NAN;
    }
    let (ln_p, ln_q) = (ln_p.min(CERTAIN), ln_q.min(CERTAIN));
    let other = |ln: f64| -ln.exp_m1();
    let others = other(ln_p) * (other(ln_p) / other(ln_q)).ln();
    (ln_p.exp() * (ln_p - ln_q) + others).max(0.0)
}

impl Texts {
    /// The evaluation's prompts, and the answers to them that have any text.
    ///
    /// # Errors
    /// What template or tokenizer refuse.
    pub(super) fn new(
        template: &AnyTemplate,
        encoder: &Encoder,
        prompts: &[Prompt],
        answers: &[Judged],
    ) -> Result<Self> {
        let mut texts = Self { answers: Vec::new(), prompts: Vec::new() };
        for (prompt, answer) in prompts.iter().zip(answers) {
            let pieces = template
                .prompt(&prompt.example, None)
                .context("the template cannot render the prompt")?;
            let given = encoder.prompt(&pieces)?;
            if let Some((first, rest)) = given.split_first()
                && !rest.is_empty()
            {
                texts.prompts.push((vec![*first], rest.to_vec()));
            }
            if !answer.is_empty() {
                let mut predicted = encoder.response(&answer.answer.output)?;
                if answer.answer.truncated {
                    predicted.pop();
                }
                texts.answers.push((given, predicted));
            }
        }
        Ok(texts)
    }

    /// What `engine` gives them.
    ///
    /// # Errors
    /// If the model cannot be computed.
    pub(super) fn log_probs(&self, engine: &mut Engine) -> Result<LogProbs> {
        let (answers, prompts) =
            (log_probs(engine, &self.answers)?, log_probs(engine, &self.prompts)?);
        Ok(LogProbs { answers, prompts })
    }
}

fn log_probs(engine: &mut Engine, texts: &[(Vec<u32>, Vec<u32>)]) -> Result<Vec<f64>> {
    let sequences: Vec<Sequence<'_>> =
        texts.iter().map(|(prompt, response)| Sequence { prompt, response, id: 0 }).collect();
    let tokens = |sequence: &Sequence<'_>| sequence.prompt.len() + sequence.response.len();
    let mut found = Vec::new();
    let mut rest = &sequences[..];
    while !rest.is_empty() {
        let mut sum = 0;
        let fits = rest.iter().take_while(|sequence| {
            sum += tokens(sequence);
            sum <= PASS
        });
        let (pass, left) = rest.split_at(fits.count().max(1));
        found.extend(engine.forward(pass, Mode::Eval)?);
        rest = left;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_per_token() {
        let log_probs = |answers: [f64; 2], prompts: [f64; 2]| LogProbs {
            answers: answers.map(f64::ln).to_vec(),
            prompts: prompts.map(f64::ln).to_vec(),
        };
        let base = log_probs([0.5, 0.25], [0.9, 0.9]);
        assert_eq!(Drift::new(&base, &base), Drift::NONE);
        // 0.9 ln 1.8 + 0.1 ln 0.2 and 0.5 ln 2 + 0.5 ln(2/3)
        let drift = Drift::new(&base, &log_probs([0.9, 0.5], [0.3, 0.3]));
        assert!((drift.kl_base - f64::midpoint(0.368_064, 0.143_841)).abs() < 1e-6, "{drift:?}");
        assert!((drift.ppl_ratio - 3.0).abs() < 1e-12, "{drift:?}");
        let nothing = LogProbs { answers: Vec::new(), prompts: Vec::new() };
        assert_eq!(Drift::new(&nothing, &nothing), Drift::NONE);
    }

    #[test]
    fn a_divergence_is_finite_and_never_below_zero() {
        let lns = [0.0, 1e-7, -1e-12, -1e-6, -1e-3, -0.7, -3.0, -20.0, -800.0];
        for ln_p in lns {
            for ln_q in lns {
                let found = divergence((ln_p, ln_q));
                assert!(found.is_finite() && found >= 0.0, "{ln_p} {ln_q}: {found}");
            }
            assert_eq!(divergence((ln_p, ln_p)), 0.0);
        }
        // An unlikely token says little, however much likelier it was.
        assert!(divergence((-20.0, -0.1)) < 3.0 && divergence((-0.1, -20.0)) > 15.0);
    }
}
