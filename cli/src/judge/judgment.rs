//! What a judge says of an answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::quote::Quote;
use crate::data::Said;

/// Whether something is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing, and nothing else is said.
    Perfect,
    /// Nothing, in words of praise.
    Praise,
    /// Something.
    Fault,
    /// The judge contradicts itself: neither to be learned nor to be unlearned.
    Unsure,
}

impl Verdict {
    /// What the fields of a line say that somebody judged: its `verdict`, or else its `judgment`;
    /// nothing if it has neither.
    pub fn of_fields(fields: &Map<String, Value>) -> Option<Self> {
        if let Some(verdict) = fields.get("verdict").and_then(|v| Self::deserialize(v).ok()) {
            return Some(verdict);
        }
        match fields.get("judgment")? {
            Value::Null => Some(Self::Perfect),
            Value::String(text) if text.trim().is_empty() => Some(Self::Perfect),
            Value::String(text) => match Said::of(text) {
                Said::Criticism => Some(Self::Fault),
                Said::Praise => Some(Self::Praise),
                Said::FailedCall => None,
            },
            _ => None,
        }
    }

    /// Whether the answer is good enough to be learned as it is; `None` if the judge is unsure.
    pub fn passes(self) -> Option<bool> {
        match self {
            Self::Perfect | Self::Praise => Some(true),
            Self::Fault => Some(false),
            Self::Unsure => None,
        }
    }
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgment {
    /// The verdict.
    pub verdict: Verdict,
    /// In plain words; none of a perfect answer.
    pub text: Option<String>,
    /// Places of the answer that it is about, in their order.
    pub quotes: Vec<Quote>,
    /// Quotes that the answer does not hold.
    pub missing_quotes: usize,
    /// The probability that the answer is perfect, of judges that say so.
    pub p_yes: Option<f64>,
}
