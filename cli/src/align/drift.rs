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
    /// Nats per token by which the round's model finds its own evaluation answers likelier than the base
    /// does:
    ///
    /// `(1/T) Σ_t [ln p(y_t | x, y_<t) − ln p_base(y_t | x, y_<t)]` over all `T` tokens of the answers,
    /// the token that ends each included unless it was cut
    ///
    /// For answers drawn at temperature 1 its mean is `KL(p ‖ p_base)` per token. The evaluation's
    /// answers are the likeliest instead, which repeats from round to round and is read as a measure of
    /// drift, not as that divergence.
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

/// The sums of log-probabilities of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    answers: f64,
    prompts: f64,
}

/// Tokens in a pass.
const PASS: usize = 1024;

impl Drift {
    /// The model of round 0.
    pub const NONE: Self = Self { kl_base: 0.0, ppl_ratio: 1.0 };

    /// The drift from `base` to `now`, per token of `texts`.
    pub(super) fn new(texts: &Texts, base: Sums, now: Sums) -> Self {
        let count = |texts: &[(Vec<u32>, Vec<u32>)]| {
            texts.iter().map(|(_, predicted)| predicted.len()).sum::<usize>().max(1) as f64
        };
        Self {
            kl_base: (now.answers - base.answers) / count(&texts.answers),
            ppl_ratio: ((base.prompts - now.prompts) / count(&texts.prompts)).exp(),
        }
    }
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
    pub(super) fn sums(&self, engine: &mut Engine) -> Result<Sums> {
        Ok(Sums { answers: sum(engine, &self.answers)?, prompts: sum(engine, &self.prompts)? })
    }
}

fn sum(engine: &mut Engine, texts: &[(Vec<u32>, Vec<u32>)]) -> Result<f64> {
    let sequences: Vec<Sequence<'_>> =
        texts.iter().map(|(prompt, response)| Sequence { prompt, response }).collect();
    let tokens = |sequence: &Sequence<'_>| sequence.prompt.len() + sequence.response.len();
    let mut total = 0.0;
    let mut rest = &sequences[..];
    while !rest.is_empty() {
        let mut sum = 0;
        let fits = rest.iter().take_while(|sequence| {
            sum += tokens(sequence);
            sum <= PASS
        });
        let (pass, left) = rest.split_at(fits.count().max(1));
        total += engine.forward(pass, Mode::Eval)?.iter().sum::<f64>();
        rest = left;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_per_token() {
        let texts = Texts {
            answers: vec![(vec![1], vec![2, 3]), (vec![1], vec![4, 5])],
            prompts: vec![(vec![1], vec![2, 3])],
        };
        let base = Sums { answers: -8.0, prompts: -4.0 };
        assert_eq!(Drift::new(&texts, base, base), Drift::NONE);
        let now = Sums { answers: -2.0, prompts: -4.0 - 2.0 * f64::ln(3.0) };
        let drift = Drift::new(&texts, base, now);
        assert!((drift.kl_base - 1.5).abs() < 1e-12 && (drift.ppl_ratio - 3.0).abs() < 1e-12);
    }
}
