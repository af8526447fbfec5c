//! A prompt alone, in the fields in which the formats have it. A response is not needed, nor used.

use cutq_core::example::{Example, Message};
use serde_json::{Map, Value};

use super::fields::{self, Fields};
use super::instruction::{self, Names};
use super::messages;
use crate::data::problem::Problem;

/// The prompt of one object.
#[derive(Debug)]
pub(in crate::data) struct Prompt {
    /// The prompt; its response is empty.
    pub example: Example,
    /// Fields that nothing used.
    pub unused: Vec<String>,
}

/// Fields that hold the instruction; the first that is there is read.
const TEXTS: [Names; 3] = [
    Names { instruction: "instruction", input: Some("input"), response: &[] },
    Names { instruction: "question", input: None, response: &[] },
    Names { instruction: "prompt", input: None, response: &[] },
];

/// What a prompt needs, for messages.
const NEEDS: &str = "`instruction`, `prompt`, `question`, `messages` or `conversations`";

/// Reads one object.
///
/// # Errors
/// Fields that are absent, of the wrong kind or empty.
pub(in crate::data) fn prompt(map: Map<String, Value>) -> Result<Prompt, Problem> {
    let lists = ["messages", "conversations"];
    let list = lists.into_iter().find(|name| map.contains_key(*name));
    let text = TEXTS.iter().find(|names| map.contains_key(names.instruction));
    if list.is_none() && text.is_none() {
        return Err(Problem::NoPrompt { found: fields::names(&map), needs: NEEDS });
    }
    let mut fields = Fields::new(map, "a prompt", NEEDS);
    let messages = match (list, text) {
        (Some(name), _) => conversation(name, &mut fields)?,
        (None, Some(names)) => instruction::prompt(&mut fields, names)?,
        (None, None) => unreachable!("refused above"),
    };
    let messages = messages::with_system(messages, messages::system(&mut fields)?.as_deref())?;
    let tools = messages::tools(&mut fields);
    // Its name, which is read before.
    drop(fields.take("id"));
    let example = Example { tools, ..Example::from_messages(messages, "", None) };
    // What is said of a response that is not read is not lost by that.
    let unused = fields.finish(true)?;
    Ok(Prompt { example, unused })
}

/// The messages in `name`, without the response that they may end in.
fn conversation(name: &'static str, fields: &mut Fields) -> Result<Vec<Message>, Problem> {
    let list = messages::list(name, fields.value(name)?)?;
    let messages = messages::all(list, name, fields)?;
    let end = messages.len() - usize::from(messages.last().is_some_and(|m| m.role == "assistant"));
    match end {
        0 => Err(Problem::Blank { field: name.to_owned() }),
        end => Ok(messages[..end].to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Prompt, String> {
        let Value::Object(map) = value else { panic!("an object") };
        prompt(map).map_err(|problem| problem.to_string())
    }

    #[test]
    fn every_format_gives_the_prompt_that_it_gives_with_a_response() {
        let asked = vec![Message::new("user", "Add.\n1 and 2")];
        let system = [vec![Message::new("system", "Be short.")], asked.clone()].concat();
        for (value, expected) in [
            (json!({"instruction": "Add.", "input": "1 and 2"}), &asked),
            (json!({"prompt": "Add.\n1 and 2", "completion": "3"}), &asked),
            (json!({"question": "Add.\n1 and 2"}), &asked),
            (json!({"prompt": [{"role": "user", "content": "Add.\n1 and 2"}]}), &asked),
            (json!({"conversations": [{"from": "human", "value": "Add.\n1 and 2"}]}), &asked),
            (
                json!({"system": "Be short.", "messages": [
                    {"role": "user", "content": "Add.\n1 and 2"},
                    {"role": "assistant", "content": "3"},
                ]}),
                &system,
            ),
        ] {
            let found = read(value.clone()).expect("a prompt").example;
            assert_eq!(found.messages, *expected, "{value}");
            assert_eq!((found.response.as_str(), found.judgment), ("", None));
        }
    }

    #[test]
    fn fields_that_are_not_of_the_prompt_are_counted() {
        let found = read(json!({"id": 7, "prompt": "Hi.", "output": "x", "judgment": "Bad."}));
        assert_eq!(found.expect("a prompt").unused, ["judgment", "output"]);
    }

    #[test]
    fn what_is_no_prompt_is_refused() {
        for (value, message) in [
            (json!({"text": "Hi."}), "no prompt; found `text`"),
            (json!({"instruction": " "}), "field `instruction` is empty"),
            (json!({"messages": []}), "field `messages` is empty"),
            (json!({"messages": [{"role": "assistant", "content": "a"}]}), "`messages` is empty"),
        ] {
            let problem = read(value).expect_err(message);
            assert!(problem.contains(message), "{problem}");
        }
    }
}
