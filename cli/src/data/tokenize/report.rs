//! What tokenizing did to the examples.

use std::fmt;

use cutq_core::group::Group;
use serde::{Serialize, Serializer};

use crate::data::tally::SAMPLES;
use crate::data::{Origin, Tally};

/// Counts of what tokenizing did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TokenizeReport {
    /// Examples with a shortened prompt.
    pub truncated: usize,
    /// Tokens cut out of all of them, each in its longest context.
    pub cut_tokens: usize,
    /// Tokens cut out of one of them, at most.
    pub most_cut_tokens: usize,
    /// The first of them.
    pub samples: Vec<Shortened>,
    /// Examples left out for their length.
    pub dropped: usize,
    /// Examples left out because the template cannot render them.
    pub refused: Vec<Refused>,
    /// Examples that hold what looks like a special token.
    pub control_texts: Tally,
    /// Response tokens that judgments quote.
    pub quoted_tokens: usize,
    /// Examples whose tokens do not spell their response, so that no quote can be found in them.
    pub unplaced_quotes: Tally,
    /// Examples with a judgment that stay.
    pub negatives: usize,
    /// Examples without one that stay.
    pub positives: usize,
    /// The longest sequence, in tokens.
    pub longest: usize,
    /// File and line of the first that long.
    pub longest_at: Option<String>,
    /// Response tokens of all examples.
    pub response_tokens: usize,
}

/// An example with a shortened prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shortened {
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub origin: Origin,
    /// Tokens of its longest context and the response, estimated from the ends of a text of more
    /// than 256 KiB.
    pub before: usize,
    /// What is left of them.
    pub after: usize,
    /// Position of the message that lost most, counted from 0.
    pub message: usize,
    /// Who speaks in it.
    pub role: String,
}

impl fmt::Display for Shortened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, before, after, message, role } = self;
        write!(f, "{origin}: {before} tokens → {after}, most of it from message {message} ({role})")
    }
}

/// An example that the template cannot render.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub origin: Origin,
    /// The template's words.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.reason)
    }
}

impl TokenizeReport {
    /// Counts an example that stays.
    pub fn add_group(&mut self, group: &Group) {
        match group.is_judged() {
            true => self.negatives += 1,
            false => self.positives += 1,
        }
        self.response_tokens += group.response.len();
    }

    /// Counts a shortened example.
    pub fn add_shortened(&mut self, shortened: Shortened) {
        let cut = shortened.before.saturating_sub(shortened.after);
        self.truncated += 1;
        self.cut_tokens += cut;
        self.most_cut_tokens = self.most_cut_tokens.max(cut);
        if self.samples.len() < SAMPLES {
            self.samples.push(shortened);
        }
    }
}

/// `file:line`.
fn as_text<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn cuts_are_summed_and_the_first_ones_shown() {
        let mut report = TokenizeReport::default();
        for line in 1..=5 {
            let origin = Origin { file: Path::new("d").into(), line };
            let role = "user".to_owned();
            report.add_shortened(Shortened {
                origin,
                before: 100 + line,
                after: 100,
                message: 0,
                role,
            });
        }
        assert_eq!((report.truncated, report.cut_tokens, report.most_cut_tokens), (5, 15, 5));
        let json = serde_json::to_value(&report).expect("plain data");
        assert_eq!(json["samples"].as_array().map(Vec::len), Some(SAMPLES));
        assert_eq!(json["samples"][2]["origin"], "d:3");
    }
}
