//! Typed access to the fields of one JSON object.

use serde_json::{Map, Value};

/// What is wrong with one line of data.
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
    #[error(
        "the fields fit no known format; found {found}; alpaca needs {}, shepherd needs {}, chat needs {}",
        super::alpaca::NEEDS,
        super::shepherd::NEEDS,
        super::chat::NEEDS
    )]
    UnknownFormat {
        /// The fields that are there.
        found: String,
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

/// The fields of an object, with the name of the format they are read as.
pub(super) struct Fields<'a> {
    pub map: &'a Map<String, Value>,
    pub format: &'static str,
    pub needs: &'static str,
}

impl<'a> Fields<'a> {
    /// The value of a required field.
    pub fn value(&self, field: &'static str) -> Result<&'a Value, Problem> {
        self.map.get(field).ok_or_else(|| Problem::Missing {
            field,
            found: names(self.map),
            format: self.format,
            needs: self.needs,
        })
    }

    /// A required text that is not blank.
    pub fn text(&self, field: &'static str) -> Result<&'a str, Problem> {
        let text = string(field, self.value(field)?)?;
        if text.trim().is_empty() {
            return Err(Problem::Blank { field: field.to_owned() });
        }
        Ok(text)
    }

    /// A text that may be absent, `null` or blank; all three are `None`.
    pub fn optional_text(&self, field: &'static str) -> Result<Option<&'a str>, Problem> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(string(field, value)?).filter(|text| !text.trim().is_empty())),
        }
    }
}

/// The string in `value`, or an error that names `field`.
pub(super) fn string<'a>(field: &str, value: &'a Value) -> Result<&'a str, Problem> {
    value.as_str().ok_or_else(|| Problem::WrongKind {
        field: field.to_owned(),
        expected: "a string",
        found: kind(value),
    })
}

/// The field names of an object, for messages.
pub(super) fn names(map: &Map<String, Value>) -> String {
    if map.is_empty() {
        return "no fields".to_owned();
    }
    map.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
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
