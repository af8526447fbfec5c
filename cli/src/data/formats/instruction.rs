//! One instruction and one response, in the formats that differ by the names of their fields only.

use cutq_core::example::{Example, Message};
use serde_json::Value;

use super::fields::{Fields, is_blank, string};
use super::messages;
use crate::data::problem::Problem;

/// The names by which a format calls its fields.
pub(super) struct Names {
    pub instruction: &'static str,
    pub input: Option<&'static str>,
    /// The first that is there is the response.
    pub response: &'static [&'static str],
}

pub(super) const ALPACA: Names =
    Names { instruction: "instruction", input: Some("input"), response: &["output", "response"] };
pub(super) const SHEPHERD: Names =
    Names { instruction: "question", input: None, response: &["answer", "response"] };
pub(super) const COMPLETION: Names =
    Names { instruction: "prompt", input: None, response: &["completion", "response"] };

/// Reads one example.
///
/// # Errors
/// Fields that are absent, of the wrong kind or empty.
pub(super) fn example(fields: &mut Fields, names: &Names) -> Result<Example, Problem> {
    let messages = prompt(fields, names)?;
    let messages = messages::with_system(messages, messages::system(fields)?.as_deref())?;
    let name = names.response.iter().find(|name| fields.has(name)).unwrap_or(&names.response[0]);
    let response = match fields.value(name)? {
        Value::Array(list) => messages::response(list, name, fields)?,
        value => string(name, value)?,
    };
    if is_blank(&response) {
        return Err(Problem::Blank { field: (*name).to_owned() });
    }
    let (tools, judgment) = (messages::tools(fields), fields.judgment()?);
    Ok(Example { messages, tools, response, judgment, ..Example::default() })
}

/// What stands before the response, but for a field `system`: a text, or messages already.
pub(super) fn prompt(fields: &mut Fields, names: &Names) -> Result<Vec<Message>, Problem> {
    let name = names.instruction;
    let input = names.input.map(|name| fields.optional_text(name)).transpose()?.flatten();
    let instruction = match fields.value(name)? {
        Value::Array(list) => return messages::all(list, name, fields),
        value => string(name, value)?,
    };
    let text = match (is_blank(&instruction), input) {
        (false, Some(input)) => format!("{instruction}\n{input}"),
        (false, None) => instruction,
        (true, Some(input)) => input,
        (true, None) => return Err(Problem::Blank { field: name.to_owned() }),
    };
    let mut turns = history(fields)?;
    turns.push(Message::new("user", text));
    Ok(turns)
}

/// The turns before the instruction: `history`, a list of pairs. Has room for exactly one more.
fn history(fields: &mut Fields) -> Result<Vec<Message>, Problem> {
    let turns = match fields.take("history") {
        None => Vec::new(),
        Some(Value::Array(turns)) => turns,
        Some(_) => return Err(Problem::History),
    };
    let mut messages = Vec::with_capacity(2 * turns.len() + 1);
    for turn in turns {
        let Ok([asked, said]) = serde_json::from_value::<[String; 2]>(turn) else {
            return Err(Problem::History);
        };
        messages.extend([Message::new("user", asked), Message::new("assistant", said)]);
    }
    Ok(messages)
}
