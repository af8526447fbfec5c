//! What came back from a judge, or why nothing did.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Key;

/// One attempt of a call: a line of `calls.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The call.
    pub key: Key,
    /// Counted from 1 within a call.
    pub attempt: u32,
    /// Whether it is a reply at all.
    pub outcome: Outcome,
    /// The reply as it came; of a failed call what is known of the reason.
    pub text: Option<String>,
    /// The status of an HTTP response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the judge stopped writing, in its own word: `stop`, `length`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What it cost about, of servers that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Usage>,
    /// The probability that the answer is perfect, of judges that say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_yes: Option<f64>,
    /// Milliseconds from question to reply.
    pub ms: u64,
}

impl Reply {
    /// The first attempt of a call, in a text that nothing else is known of.
    pub fn new(key: Key, outcome: Outcome, text: String, took: Duration) -> Self {
        let (text, ms) = (Some(text), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let (status, finish_reason, p_yes) = (None, None, None);
        let (usage, estimate) = (None, None);
        Self { key, attempt: 1, outcome, text, status, finish_reason, usage, estimate, p_yes, ms }
    }
}

/// What became of an attempt. Only [`Outcome::Answered`] can become a judgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The judge has answered, to the end.
    Answered,
    /// No connection, a status that is no success, or a body that is no reply.
    Http,
    /// Nothing came in time.
    Timeout,
    /// The reply ends before its end.
    Cut,
    /// The reply holds nothing.
    Empty,
    /// The judge will not say.
    Refusal,
    /// The reply is not what was asked for.
    Unparsable,
    /// A reply before was taken back: the answer is not judged yet.
    Withdrawn,
    /// The question is longer than what the judge can read.
    Context,
}

impl Outcome {
    /// What the calls that ended so have in common, for a count of them.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Answered => "calls answered",
            Self::Http => "calls failed: no connection, or a status that is no success",
            Self::Timeout => "calls failed: no reply in time",
            Self::Cut => "calls failed: the reply was cut",
            Self::Empty => "calls failed: the reply was empty",
            Self::Refusal => "calls failed: the judge did not judge",
            Self::Unparsable => "calls failed: the reply was not what was asked for",
            Self::Withdrawn => "judgments taken back",
            Self::Context => "calls failed: the question is too long for the judge",
        }
    }
}

/// Tokens, as the judge's server counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
}
