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
    /// `messages` is not a conversation that ends in a response.
    #[error("`messages` must end in an assistant message after at least one other, found {found}")]
    Conversation {
        /// The roles found, in order.
        found: String,
    },
    /// A role that no chat template knows.
    #[error("message {index}: role must be system, user or assistant, found {role:?}")]
    Role {
        /// Position in `messages`, counted from 0.
        index: usize,
        /// The role found.
        role: String,
    },
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
