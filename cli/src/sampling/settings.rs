//! How tokens are chosen.

use cutq_ffi::Choice;
use serde::{Deserialize, Serialize};

/// How the next token is chosen; in this form it is saved, too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f64,
    /// Only the likeliest tokens whose probabilities sum to this are drawn.
    pub top_p: f64,
    /// Only this many of the likeliest tokens are drawn; 0 for all.
    pub top_k: usize,
    /// Only tokens of at least this share of the likeliest one's probability are drawn; 0 for all.
    pub min_p: f64,
    /// Divides the logits of tokens that have occurred; 1 for none.
    pub repeat_penalty: f64,
}

impl Sampling {
    /// The engine's form.
    pub(super) fn choice(&self) -> Choice {
        Choice {
            repeat_penalty: self.repeat_penalty as f32,
            top_k: self.top_k,
            top_p: self.top_p as f32,
            min_p: self.min_p as f32,
            temperature: self.temperature as f32,
        }
    }

    /// Always the likeliest token.
    pub const GREEDY: Self =
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, min_p: 0.0, repeat_penalty: 1.0 };
}
