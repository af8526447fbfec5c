//! What can be wrong with one line of data.

use serde_json::Value;

/// A line that is not an example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not JSON.
    #[error("not valid JSON at column {column}: {message}")]
    Json {
        /// The parser's words.
        message: String,
        /// Column, counted from 1.
        column: usize,
    },
    /// Not text.
    #[error("invalid UTF-8 at byte {byte} of the line")]
    Utf8 {
        /// Byte within the line, counted from 1.
        byte: usize,
    },
    /// JSON, but not an object.
    #[error("each example must be a JSON object, found {found}")]
    NotAnObject {
        /// Kind of the value found.
        found: &'static str,
    },
    /// The file ends within an array.
    #[error("the array that begins here is never closed: is the file complete?")]
    OpenArray,
    /// A required field is absent.
    #[error("no field `{field}`; found {found}; {format} needs {needs}")]
    Missing {
        /// The absent field.
        field: &'static str,
        /// The fields that are there.
        found: String,
        /// The format expected.
        format: &'static str,
        /// What that format needs.
        needs: &'static str,
    },
    /// The fields belong to no known format.
    #[error("the fields fit no known format; found {found}; {needs}")]
    UnknownFormat {
        /// The fields that are there.
        found: String,
        /// What each format needs.
        needs: String,
    },
    /// Two objects of one name.
    #[error("the id {id:?} of line {first} occurs again")]
    SameId {
        /// The id.
        id: String,
        /// Where it occurred first.
        first: usize,
    },
    /// Nothing to answer.
    #[error("no prompt; found {found}; a prompt needs {needs}")]
    NoPrompt {
        /// The fields that are there.
        found: String,
        /// The fields that hold one.
        needs: &'static str,
    },
    /// A field has a value of the wrong kind.
    #[error("field `{field}` must be {expected}, found {found}")]
    WrongKind {
        /// The field.
        field: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A field that needs text has none.
    #[error("field `{field}` is empty")]
    Blank {
        /// The field.
        field: String,
    },
    /// A field that is not used may hold criticism, and the response would be learned as a good one.
    #[error(
        "field `{field}` looks like criticism and is not used, so the response would be learned as \
         a good one"
    )]
    Criticism {
        /// The field, with where it is.
        field: String,
        /// Its name alone.
        name: String,
    },
    /// Two fields that both hold a judgment.
    #[error("`{first}` and `{second}` both hold a judgment")]
    TwoJudgments {
        /// One field.
        first: String,
        /// The other.
        second: String,
    },
    /// A bad response, and nobody says why.
    #[error(
        "{what} has no judgment that says what is wrong, and criticism is what training learns from"
    )]
    Unjudged {
        /// What is bad.
        what: &'static str,
    },
    /// Two responses where one is to be judged.
    #[error("a pair of responses, where one is to be judged")]
    Pair,
    /// A verdict and a judgment that cannot both be right.
    #[error("the verdict is {verdict:?}, and the judgment says the opposite")]
    Contradiction {
        /// The verdict.
        verdict: String,
    },
    /// A quote that begins somewhere and ends nowhere, or the other way round.
    #[error("the quote {text:?} needs both `start` and `end`, or neither")]
    HalfQuote {
        /// What is quoted.
        text: String,
    },
    /// A quote where something else stands.
    #[error("the quote {text:?} does not stand at the characters {start} to {end} of the response")]
    Misquote {
        /// What is quoted.
        text: String,
        /// Its first character.
        start: usize,
        /// The one behind its last.
        end: usize,
    },
    /// The response is not to be learned.
    #[error("the response is marked as one not to be trained on (weight 0, train or loss false)")]
    WeightZero,
    /// A system prompt in a field, and another among the messages.
    #[error("field `system` and a system message say different things")]
    TwoSystems,
    /// A turn of `history` is not a pair of texts.
    #[error("`history` must hold pairs of an instruction and its response, both strings")]
    History,
    /// A part of a message is not text.
    #[error("{field} holds {kind:?}: only text can be read")]
    Part {
        /// Where it is.
        field: String,
        /// The part's `type`.
        kind: String,
    },
    /// The response is no text.
    #[error("the response calls a tool, and only text is trained on")]
    ToolCall,
    /// `messages` is not a conversation that ends in a response.
    #[error("`{field}` must end in an assistant message after at least one other, found {found}")]
    Conversation {
        /// The field.
        field: &'static str,
        /// The roles found, in order.
        found: String,
    },
    /// A role that no chat template knows.
    #[error(
        "{field}: role must be system, developer, user, assistant or tool (or human, gpt, model, \
         function), found {role:?}"
    )]
    Role {
        /// Where it is.
        field: String,
        /// The role found.
        role: String,
    },
}

impl Problem {
    /// What to do about it, where there is more to say than to mend the line or to leave it out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFormat { .. } => {
                Some("--field output=NAME reads a field under another name".to_owned())
            }
            Self::Criticism { name, .. } => Some(format!(
                "--field judgment={name} takes it as the judgment, --ignore-field {name} does \
                 without it"
            )),
            Self::TwoJudgments { second, .. } => {
                Some(format!("--ignore-field {second} does without one of them"))
            }
            _ => None,
        }
    }
}

/// The kind of a JSON value, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
