//! What is known of one example.

use cutq_core::group::Group;
use cutq_core::trainer::EvaluatedExample;
use serde::Serialize;

use crate::text::Encoder;

/// One line of `cutq inspect --json`.
#[derive(Debug, Serialize)]
pub struct InspectLine {
    /// Position in the data, from 0.
    pub index: usize,
    /// Ids of the response, its end included.
    pub response_tokens: Vec<u32>,
    /// Text of each of them.
    pub pieces: Vec<String>,
    /// Ids of the plain prompt.
    pub prompt_tokens: Vec<u32>,
    /// Ids of the prompt with the judgment.
    pub judged_prompt_tokens: Option<Vec<u32>>,
    /// Nats, in the plain context; none if the objective does not read it.
    pub log_probs_plain: Option<Vec<f64>>,
    /// Nats, in the judged context.
    pub log_probs_judged: Option<Vec<f64>>,
    /// Positions in the response.
    pub inappropriate: Vec<usize>,
    /// Positions that the judgment quotes.
    pub quoted: Vec<usize>,
    /// The part of the loss that learns from what is wrong.
    pub l1: f64,
    /// The likelihood part.
    pub l2: f64,
    /// The loss.
    pub loss: f64,
}

impl InspectLine {
    /// Puts together what was read and what was found.
    pub fn new(group: &Group, evaluated: EvaluatedExample, encoder: &Encoder) -> Self {
        let (log_probs, loss) = (evaluated.log_probs, evaluated.loss);
        let quoted = group.quoted.iter().flatten().enumerate();
        Self {
            index: group.index,
            pieces: group.response.iter().map(|&token| encoder.piece(token)).collect(),
            response_tokens: group.response.clone(),
            prompt_tokens: group.prompts.plain.clone().expect("every example has one"),
            judged_prompt_tokens: group.prompts.judged.clone(),
            log_probs_plain: log_probs.plain,
            log_probs_judged: log_probs.judged,
            inappropriate: loss.inappropriate,
            quoted: quoted.filter(|(_, is_quoted)| **is_quoted).map(|(t, _)| t).collect(),
            l1: loss.l1,
            l2: loss.l2,
            loss: loss.loss,
        }
    }
}
