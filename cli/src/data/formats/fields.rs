//! Typed access to the fields of one JSON object.

use serde_json::{Map, Value};

use crate::data::problem::{Problem, kind};

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
