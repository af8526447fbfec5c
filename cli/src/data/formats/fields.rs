//! The fields of one JSON object, taken out one by one: what remains is not used.

use serde_json::{Map, Value};

use super::criticism;
use crate::data::problem::{Problem, kind};

/// The fields of an object, with the format that they are read as.
pub(super) struct Fields {
    map: Map<String, Value>,
    format: &'static str,
    needs: &'static str,
    /// Fields that have been taken; they keep their place in `map`, for messages.
    used: Vec<&'static str>,
    /// Fields within others that nothing uses, and where they stand.
    inner: Vec<(String, Map<String, Value>)>,
}

impl Fields {
    pub fn new(map: Map<String, Value>, format: &'static str, needs: &'static str) -> Self {
        Self { map, format, needs, used: Vec::new(), inner: Vec::new() }
    }

    /// Whether the field is there, `null` or not.
    pub fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// The value of a field that may be used or not.
    pub fn peek(&self, field: &str) -> Option<&Value> {
        self.map.get(field)
    }

    /// Whether the field is `true`; absent is not.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, Problem> {
        match self.take(field) {
            None => Ok(false),
            Some(Value::Bool(is_set)) => Ok(is_set),
            Some(other) => {
                let (expected, found) = ("true or false", kind(&other));
                Err(Problem::WrongKind { field: field.to_owned(), expected, found })
            }
        }
    }

    /// The value of a field; none if it is absent or `null`.
    pub fn take(&mut self, field: &'static str) -> Option<Value> {
        self.used.push(field);
        self.map.get_mut(field).map(Value::take).filter(|value| !value.is_null())
    }

    /// The value of a required field.
    pub fn value(&mut self, field: &'static str) -> Result<Value, Problem> {
        if let Some(value) = self.map.get_mut(field) {
            self.used.push(field);
            return Ok(value.take());
        }
        let (found, format, needs) = (names(&self.map), self.format, self.needs);
        Err(Problem::Missing { field, found, format, needs })
    }

    /// A text that may be absent, `null` or blank; all three are `None`.
    pub fn optional_text(&mut self, field: &'static str) -> Result<Option<String>, Problem> {
        let text = self.take(field).map(|value| string(field, value)).transpose()?;
        Ok(text.filter(|text| !is_blank(text)))
    }

    /// What is wrong with the response: `judgment`, or one of its other names.
    ///
    /// # Errors
    /// Two judgments; a `label` that says the response is bad, without words.
    pub fn judgment(&mut self) -> Result<Option<String>, Problem> {
        let judgment = take_judgment(&mut self.map, "")?;
        let label = self.map.get("label").and_then(Value::as_bool);
        if label.is_some() {
            self.used.push("label");
        }
        match (label, judgment) {
            (Some(false), None) => Err(Problem::Unjudged { what: "a response with label false" }),
            (_, judgment) => Ok(judgment),
        }
    }

    /// Notes the fields of an object at `place`, such as `messages[1]`, that nothing uses.
    pub fn leave(&mut self, place: String, map: Map<String, Value>) {
        self.inner.push((place, map));
    }

    /// The names of all fields that nothing used.
    ///
    /// # Errors
    /// One of them may hold criticism, and the example is a positive one.
    pub fn finish(mut self, is_judged: bool) -> Result<Vec<String>, Problem> {
        self.map.retain(|name, _| !self.used.contains(&name.as_str()));
        if !is_judged {
            criticism::refuse(&self.map, "")?;
            for (place, map) in &self.inner {
                criticism::refuse(map, &format!("{place}."))?;
            }
        }
        let mut unused: Vec<String> = self.map.into_iter().map(|(name, _)| name).collect();
        for (place, map) in self.inner {
            // The same field of several messages is one.
            let list = place.split('[').next().unwrap_or(&place);
            unused.extend(map.keys().map(|name| format!("{list}[].{name}")));
        }
        unused.sort_unstable();
        unused.dedup();
        Ok(unused)
    }
}

/// Names of the judgment, in any case of letters.
const JUDGMENT: [&str; 6] =
    ["judgment", "judgement", "judgments", "feedback", "critique", "criticism"];

/// Whether a field of this name holds a judgment.
pub fn is_judgment(name: &str) -> bool {
    JUDGMENT.contains(&name.to_lowercase().as_str())
}

/// Takes the judgment out of an object that stands at `place`; `None` if it is absent or blank.
///
/// # Errors
/// Two judgments; one that is no string.
pub(super) fn take_judgment(
    map: &mut Map<String, Value>,
    place: &str,
) -> Result<Option<String>, Problem> {
    let is_one = |name: &&String| is_judgment(name);
    let names: Vec<String> = map.keys().filter(is_one).cloned().collect();
    let mut judgment: Option<(String, String)> = None;
    for name in names {
        let Some(value) = map.remove(&name).filter(|value| !value.is_null()) else {
            continue;
        };
        let text = string(&format!("{place}{name}"), value)?;
        if is_blank(&text) || judgment.as_ref().is_some_and(|(_, other)| *other == text) {
            continue;
        }
        if let Some((first, _)) = judgment {
            return Err(Problem::TwoJudgments { first, second: name });
        }
        judgment = Some((name, text));
    }
    Ok(judgment.map(|(_, text)| text))
}

/// Whether there is nothing to see: blanks, and marks without a width.
pub(super) fn is_blank(text: &str) -> bool {
    let is_invisible = |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// The string in `value`, or an error that names `field`.
pub(super) fn string(field: &str, value: Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(Problem::WrongKind {
            field: field.to_owned(),
            expected: "a string",
            found: kind(&other),
        }),
    }
}

/// The field names of an object, for messages.
pub(super) fn names(map: &Map<String, Value>) -> String {
    if map.is_empty() {
        return "no fields".to_owned();
    }
    map.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
