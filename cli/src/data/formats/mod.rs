//! The formats that data comes in, and how one is recognised.

mod criticism;
mod fields;
mod instruction;
mod messages;
mod names;
mod object;
mod own;
mod preference;
mod prompt;

use std::fmt;

use clap::ValueEnum;
use cutq_core::example::Example;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::problem::Problem;
use fields::Fields;
pub use fields::is_judgment;
pub use names::FieldName;
pub(super) use names::Renaming;
pub(super) use object::Object;
pub(super) use own::Own;
pub(super) use prompt::prompt;

/// Which fields an example is read from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// By the fields of each example
    #[default]
    Auto,
    /// `instruction`, `input`, `output`, `system`, `history`
    Alpaca,
    /// `question`, `answer`
    Shepherd,
    /// `messages` of `role` and `content`
    Chat,
    /// `conversations` of `from` and `value`
    Sharegpt,
    /// `prompt`, `completion` or `response`, `label`
    Completion,
    /// `prompt`, `chosen`, `rejected`
    Preference,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.needs().0)
    }
}

/// The examples of one object.
#[derive(Debug)]
pub(super) struct Parsed {
    /// One; two of a pair.
    pub examples: Vec<Example>,
    /// The format they were read as.
    pub format: Format,
    /// Fields that nothing used.
    pub unused: Vec<String>,
    /// What cutq's own fields say.
    pub own: Own,
}

impl Format {
    /// Reads one object.
    ///
    /// # Errors
    /// Fields that are absent, of the wrong kind, empty, or may hold criticism that is not used.
    pub(super) fn parse(self, map: Map<String, Value>) -> Result<Parsed, Problem> {
        let format = match self {
            Self::Auto => Self::detect(&map)?,
            format => format,
        };
        let (name, needs) = format.needs();
        let mut fields = Fields::new(map, name, needs);
        let mut examples = format.examples(&mut fields)?;
        let own = own::read(&mut fields, &mut examples)?;
        let unused = fields.finish(examples.iter().any(Example::is_judged))?;
        Ok(Parsed { examples, format, unused, own })
    }

    fn examples(self, fields: &mut Fields) -> Result<Vec<Example>, Problem> {
        Ok(match self {
            Self::Alpaca => vec![instruction::example(fields, &instruction::ALPACA)?],
            Self::Shepherd => vec![instruction::example(fields, &instruction::SHEPHERD)?],
            Self::Completion => vec![instruction::example(fields, &instruction::COMPLETION)?],
            Self::Sharegpt => vec![messages::example(fields, "conversations")?],
            Self::Preference => preference::examples(fields)?,
            Self::Chat | Self::Auto => vec![messages::example(fields, "messages")?],
        })
    }

    /// One field of a format is enough to expect it, so that the message about a missing field
    /// names the format that was meant.
    fn detect(map: &Map<String, Value>) -> Result<Self, Problem> {
        const SIGNS: [(Format, &[&str]); 6] = [
            (Format::Preference, &["chosen", "rejected"]),
            (Format::Chat, &["messages"]),
            (Format::Sharegpt, &["conversations"]),
            (Format::Alpaca, &["instruction", "output"]),
            (Format::Shepherd, &["question", "answer"]),
            (Format::Completion, &["prompt", "completion", "response"]),
        ];
        let has = |names: &[&str]| names.iter().any(|name| map.contains_key(*name));
        let found = SIGNS.iter().find(|(_, names)| has(names));
        found.map(|(format, _)| *format).ok_or_else(|| {
            let needs = SIGNS.map(|(format, _)| format.needs());
            let needs = needs.map(|(format, needs)| format!("{format} needs {needs}")).join(", ");
            Problem::UnknownFormat { found: fields::names(map), needs }
        })
    }

    /// The format's name and what it needs, for messages.
    fn needs(self) -> (&'static str, &'static str) {
        match self {
            Self::Auto | Self::Chat => ("chat", "`messages`"),
            Self::Alpaca => ("alpaca", "`instruction`, `output`"),
            Self::Shepherd => ("shepherd", "`question`, `answer`"),
            Self::Sharegpt => ("sharegpt", "`conversations`"),
            Self::Completion => ("completion", "`prompt`, `completion`"),
            Self::Preference => ("preference", "`prompt`, `chosen`, `rejected`"),
        }
    }
}

/// Reads one object as an answer that nobody has judged yet: other fields are no matter, and the answer
/// may be empty.
///
/// # Errors
/// Fields that are absent or of the wrong kind; a pair of responses.
pub(super) fn answer(mut map: Map<String, Value>) -> Result<Example, Problem> {
    let format = Format::detect(&map)?;
    if format == Format::Preference {
        return Err(Problem::Pair);
    }
    // An example is no example without a response, an answer is one.
    let responses = ["output", "response", "answer", "completion"];
    let empty = responses.into_iter().find(|name| map.get(*name).is_some_and(is_empty));
    if let Some(name) = empty {
        map.insert(name.to_owned(), Value::from(EMPTY));
    }
    let (name, needs) = format.needs();
    let mut fields = Fields::new(map, name, needs);
    let mut examples = format.examples(&mut fields)?;
    let mut example = examples.pop().expect("all formats but pairs have one");
    if empty.is_some() {
        example.response.clear();
    }
    Ok(example)
}

/// Stands for an empty answer while the rest is read.
const EMPTY: &str = "-";

fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(fields::is_blank)
}

#[cfg(test)]
mod tests;
