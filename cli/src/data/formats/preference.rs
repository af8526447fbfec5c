//! Pairs of a better and a worse response to one prompt: `prompt`, `chosen`, `rejected`.

use cutq_core::example::{Example, Message};
use serde_json::Value;

use super::fields::{Fields, is_blank, string};
use super::instruction::{COMPLETION, prompt};
use super::messages;
use crate::data::problem::Problem;

/// The chosen response as a positive example, the rejected one as a judged example.
///
/// # Errors
/// A rejected response that nobody criticises; see also [`messages`].
pub(super) fn examples(fields: &mut Fields) -> Result<Vec<Example>, Problem> {
    let chosen = side(fields, "chosen")?;
    let rejected = side(fields, "rejected")?;
    // A side that is a conversation repeats the prompt.
    let needs_prompt = chosen.messages.is_none() || rejected.messages.is_none();
    let shared = match needs_prompt || fields.has("prompt") {
        true => prompt(fields, &COMPLETION)?,
        false => Vec::new(),
    };
    let judgment = fields.judgment()?;
    let Some(judgment) = rejected.judgment.or(judgment) else {
        return Err(Problem::Unjudged { what: "the rejected response" });
    };
    let (system, tools) = (messages::system(fields)?, messages::tools(fields));
    let example = |messages: Option<Vec<Message>>, response, judgment| {
        let messages = messages.unwrap_or_else(|| shared.clone());
        let messages = messages::with_system(messages, system.as_deref())?;
        Ok(Example { messages, tools: tools.clone(), response, judgment, ..Example::default() })
    };
    Ok(vec![
        example(chosen.messages, chosen.response, None)?,
        example(rejected.messages, rejected.response, Some(judgment))?,
    ])
}

/// One of the two responses, with its conversation if it has one of its own.
struct Side {
    messages: Option<Vec<Message>>,
    response: String,
    judgment: Option<String>,
}

fn side(fields: &mut Fields, name: &'static str) -> Result<Side, Problem> {
    match fields.value(name)? {
        Value::Array(list) if list.len() == 1 => {
            let response = messages::response(list, name, fields)?;
            Ok(Side { messages: None, response, judgment: None })
        }
        value @ Value::Array(_) => {
            let (messages, response, judgment) = messages::conversation_of(value, name, fields)?;
            Ok(Side { messages: Some(messages), response, judgment })
        }
        value => {
            let response = string(name, value)?;
            match is_blank(&response) {
                true => Err(Problem::Blank { field: name.to_owned() }),
                false => Ok(Side { messages: None, response, judgment: None }),
            }
        }
    }
}
