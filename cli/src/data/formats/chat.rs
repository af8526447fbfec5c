//! Conversations: `messages` of `role` and `content`, the last one being the response, and a
//! `judgment` about it.

use cutq_core::example::{Example, Message};
use serde_json::{Map, Value};

use super::fields::{Fields, string};
use crate::data::problem::{Problem, kind};

/// What the format needs, for messages.
pub(super) const NEEDS: &str = "`messages` (and may have `judgment`)";

/// Reads one object.
pub(super) fn example(map: &Map<String, Value>) -> Result<Example, Problem> {
    let fields = Fields { map, format: "chat", needs: NEEDS };
    let value = fields.value("messages")?;
    let list = value.as_array().ok_or_else(|| Problem::WrongKind {
        field: "messages".to_owned(),
        expected: "an array of messages",
        found: kind(value),
    })?;
    let mut messages = list
        .iter()
        .enumerate()
        .map(|(index, value)| message(index, value))
        .collect::<Result<Vec<_>, _>>()?;
    let roles: Vec<_> = messages.iter().map(|m| m.role.as_str()).collect();
    if roles.len() < 2 || roles.last() != Some(&"assistant") {
        let found = roles.join(", ");
        return Err(Problem::Conversation {
            found: if found.is_empty() { "none".to_owned() } else { found },
        });
    }
    let response = messages.pop().expect("two or more messages").content;
    if response.trim().is_empty() {
        return Err(Problem::Blank { field: format!("messages[{}].content", messages.len()) });
    }
    Ok(Example::from_messages(messages, &response, fields.optional_text("judgment")?))
}

fn message(index: usize, value: &Value) -> Result<Message, Problem> {
    let text = |name: &str| {
        let field = format!("messages[{index}].{name}");
        string(&field, value.get(name).unwrap_or(&Value::Null)).map(str::to_owned)
    };
    let role = text("role")?;
    if !["system", "user", "assistant"].contains(&role.as_str()) {
        return Err(Problem::Role { index, role });
    }
    Ok(Message::new(&role, text("content")?))
}
