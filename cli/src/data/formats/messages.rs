//! Conversations: lists of messages with `role` and `content`, or with `from` and `value`, the last
//! one being the response.

use cutq_core::example::{Example, Message};
use serde_json::{Map, Value};

use super::fields::{Fields, is_blank, string, take_judgment};
use crate::data::problem::{Problem, kind};

/// Fields of a message that chat templates know.
const TEMPLATE_FIELDS: [&str; 5] =
    ["tool_calls", "tool_call_id", "name", "reasoning_content", "thinking"];

/// One message, with what is said about it.
struct Turn {
    /// Where it stands, such as `messages[1]`.
    place: String,
    message: Message,
    judgment: Option<String>,
    is_weightless: bool,
    /// What nothing uses.
    rest: Map<String, Value>,
}

/// Reads one example: the messages in `field`, with fields beside them.
///
/// # Errors
/// What is not a conversation that ends in a text of the assistant's.
pub(super) fn example(fields: &mut Fields, field: &'static str) -> Result<Example, Problem> {
    let turns = turns(list(field, fields.value(field)?)?, field)?;
    let (messages, response, inside) = match response_beside(&turns, fields)? {
        Some(response) => (context(turns, fields), response, None),
        None => conversation(turns, field, fields)?,
    };
    let beside = fields.judgment()?;
    if let (Some(first), Some(second)) = (&inside, &beside)
        && first != second
    {
        let (first, second) = ("a message's judgment".to_owned(), "judgment".to_owned());
        return Err(Problem::TwoJudgments { first, second });
    }
    let judgment = inside.or(beside);
    let messages = with_system(messages, system(fields)?.as_deref())?;
    Ok(Example { messages, tools: tools(fields), response, judgment, ..Example::default() })
}

/// The response in `output`, beside messages that end without one.
fn response_beside(turns: &[Turn], fields: &mut Fields) -> Result<Option<String>, Problem> {
    let is_asked = turns.last().is_some_and(|turn| turn.message.role != "assistant");
    match is_asked {
        true => fields.optional_text("output"),
        false => Ok(None),
    }
}

/// Splits off the response and the judgment that its message holds.
pub(super) fn conversation_of(
    value: Value,
    field: &'static str,
    fields: &mut Fields,
) -> Result<(Vec<Message>, String, Option<String>), Problem> {
    conversation(turns(list(field, value)?, field)?, field, fields)
}

fn conversation(
    mut turns: Vec<Turn>,
    field: &'static str,
    fields: &mut Fields,
) -> Result<(Vec<Message>, String, Option<String>), Problem> {
    let roles: Vec<_> = turns.iter().map(|turn| turn.message.role.as_str()).collect();
    if roles.len() < 2 || roles.last() != Some(&"assistant") {
        let found = match roles.is_empty() {
            true => "none".to_owned(),
            false => roles.join(", "),
        };
        return Err(Problem::Conversation { field, found });
    }
    let last = turns.pop().expect("two or more turns");
    let (response, judgment) = respond(last, fields)?;
    Ok((context(turns, fields), response, judgment))
}

/// A list that is the response alone, as `completion` may be.
pub(super) fn response(
    list: Vec<Value>,
    field: &'static str,
    fields: &mut Fields,
) -> Result<String, Problem> {
    let mut turns = turns(list, field)?;
    match turns.pop() {
        Some(last) if turns.is_empty() && last.message.role == "assistant" => {
            Ok(respond(last, fields)?.0)
        }
        _ => Err(Problem::WrongKind {
            field: field.to_owned(),
            expected: "one assistant message",
            found: "another list",
        }),
    }
}

/// A list that is all prompt.
pub(super) fn all(
    list: Vec<Value>,
    field: &'static str,
    fields: &mut Fields,
) -> Result<Vec<Message>, Problem> {
    Ok(context(turns(list, field)?, fields))
}

/// The system prompt in a field of its own.
pub(super) fn system(fields: &mut Fields) -> Result<Option<String>, Problem> {
    let field = ["system", "system_prompt"].into_iter().find(|name| fields.has(name));
    Ok(field.map(|name| fields.optional_text(name)).transpose()?.flatten())
}

/// The messages, with the system prompt before them.
pub(super) fn with_system(
    mut messages: Vec<Message>,
    system: Option<&str>,
) -> Result<Vec<Message>, Problem> {
    match (messages.first(), system) {
        (Some(first), Some(system)) if first.role == "system" && first.content != system => {
            return Err(Problem::TwoSystems);
        }
        (first, Some(system)) if first.is_none_or(|first| first.role != "system") => {
            messages.insert(0, Message::new("system", system));
        }
        _ => {}
    }
    Ok(messages)
}

/// The tools that the conversation may call.
pub(super) fn tools(fields: &mut Fields) -> Option<String> {
    let tools = fields.take("tools")?;
    match tools {
        Value::String(text) if text.trim().is_empty() => None,
        // A list that was saved as text.
        Value::String(text) => Some(text),
        Value::Array(list) if list.is_empty() => None,
        other => Some(other.to_string()),
    }
}

/// The response and its judgment.
fn respond(last: Turn, fields: &mut Fields) -> Result<(String, Option<String>), Problem> {
    let Turn { message: Message { content, fields: known, .. }, place, .. } = last;
    if last.is_weightless {
        return Err(Problem::WeightZero);
    }
    if known.iter().any(|(name, _)| name == "tool_calls") {
        return Err(Problem::ToolCall);
    }
    if is_blank(&content) {
        return Err(Problem::Blank { field: format!("{place}.content") });
    }
    let mut rest = last.rest;
    rest.extend(known.into_iter().map(|(name, text)| (name, Value::String(text))));
    fields.leave(place, rest);
    Ok((content, last.judgment))
}

/// The messages before the response. A judgment of one of them is about another response.
fn context(turns: Vec<Turn>, fields: &mut Fields) -> Vec<Message> {
    let message = |mut turn: Turn| {
        let judgment = turn.judgment.map(|text| ("judgment".to_owned(), Value::String(text)));
        turn.rest.extend(judgment);
        fields.leave(turn.place, turn.rest);
        turn.message
    };
    turns.into_iter().map(message).collect()
}

/// The elements of a list of messages.
pub(super) fn list(field: &str, value: Value) -> Result<Vec<Value>, Problem> {
    match value {
        Value::Array(list) => Ok(list),
        other => Err(Problem::WrongKind {
            field: field.to_owned(),
            expected: "an array of messages",
            found: kind(&other),
        }),
    }
}

fn turns(list: Vec<Value>, field: &str) -> Result<Vec<Turn>, Problem> {
    (0..).zip(list).map(|(index, value)| turn(&format!("{field}[{index}]"), value)).collect()
}

fn turn(place: &str, value: Value) -> Result<Turn, Problem> {
    let mut map = match value {
        Value::Object(map) => map,
        other => {
            let (expected, found) = ("an object", kind(&other));
            return Err(Problem::WrongKind { field: place.to_owned(), expected, found });
        }
    };
    let [role, content] = match map.contains_key("role") || !map.contains_key("from") {
        true => ["role", "content"],
        false => ["from", "value"],
    };
    let name = format!("{place}.{role}");
    let role = string(&name, map.remove(role).unwrap_or(Value::Null))?;
    let role = canonical(&role).ok_or(Problem::Role { field: place.to_owned(), role })?;
    let known: Vec<_> = TEMPLATE_FIELDS
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), map.remove(name).filter(|v| !v.is_null())?)))
        .map(|(name, value)| (name, value.to_string()))
        .collect();
    let calls = known.iter().any(|(name, _)| name == "tool_calls");
    let content = match map.remove(content) {
        None | Some(Value::Null) if calls => String::new(),
        value => text(&format!("{place}.{content}"), value.unwrap_or(Value::Null))?,
    };
    let judgment = take_judgment(&mut map, &format!("{place}."))?;
    let is_weightless = takes_no_part(&mut map);
    let message = Message { role: role.to_owned(), content, fields: known };
    let place = place.to_owned();
    Ok(Turn { place, message, judgment, is_weightless, rest: map })
}

/// Whether a message is marked as one not to be trained on: `weight` 0, `train` or `loss` false.
fn takes_no_part(map: &mut Map<String, Value>) -> bool {
    let marks = ["weight", "train", "loss"].map(|name| map.remove(name));
    let is_off = |mark: &Value| mark.as_f64() == Some(0.0) || mark.as_bool() == Some(false);
    marks.iter().flatten().any(is_off)
}

/// The role as chat templates call it.
fn canonical(role: &str) -> Option<&'static str> {
    Some(match role.trim().to_lowercase().as_str() {
        "system" | "developer" => "system",
        "user" | "human" => "user",
        "assistant" | "model" | "gpt" | "chatgpt" | "ai" | "bot" | "function_call" => "assistant",
        "tool" | "function" | "ipython" | "observation" | "function_response" | "tool_response" => {
            "tool"
        }
        _ => return None,
    })
}

/// The text of a message: a string, or a list of strings and of parts that are text.
fn text(field: &str, value: Value) -> Result<String, Problem> {
    let Value::Array(parts) = value else {
        return string(field, value);
    };
    let texts: Vec<String> =
        parts.into_iter().map(|value| part(field, value)).collect::<Result<_, _>>()?;
    Ok(texts.join("\n"))
}

fn part(field: &str, value: Value) -> Result<String, Problem> {
    let Value::Object(mut map) = value else {
        return string(field, value);
    };
    let kind = map.get("type").and_then(Value::as_str).unwrap_or("a part without a type");
    match kind {
        "text" | "input_text" | "output_text" => {
            string(&format!("{field}[].text"), map.remove("text").unwrap_or(Value::Null))
        }
        kind => Err(Problem::Part { field: field.to_owned(), kind: kind.to_owned() }),
    }
}
