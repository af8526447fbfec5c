//! An answer as a line of JSON.

use cutq_core::example::{Example, Message};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::sampler::Completion;
use super::task::Task;

/// What is needed of an answer's line to go on with it.
#[derive(Clone, Debug, Deserialize)]
pub struct Answered {
    /// The task's.
    pub id: String,
    /// The text.
    pub output: String,
    /// Its tokens.
    pub tokens: usize,
    /// Whether it was cut at the most that it could have.
    pub truncated: bool,
}

/// How an answer was drawn.
#[derive(Serialize)]
pub(super) struct Drawn<'a> {
    pub seed: u64,
    pub temperature: f64,
    pub adapter: Option<&'a str>,
}

/// The line of an answer: its prompt as data is written, the text, and where it comes from.
pub(super) fn line(task: &Task, completion: &Completion, drawn: &Drawn<'_>) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("id".to_owned(), json!(task.id));
    line.extend(prompt(&task.example));
    line.insert("output".to_owned(), json!(completion.text));
    line.insert("tokens".to_owned(), json!(completion.tokens));
    line.insert("truncated".to_owned(), json!(completion.truncated));
    line.insert("sample".to_owned(), json!(drawn));
    line
}

/// `instruction` and `input` for one message of the user's, else `messages`.
fn prompt(example: &Example) -> Map<String, Value> {
    let mut fields = Map::new();
    match &example.messages[..] {
        [only] if only.role == "user" && only.fields.is_empty() && example.tools.is_none() => {
            fields.insert("instruction".to_owned(), json!(only.content));
            fields.insert("input".to_owned(), json!(""));
        }
        messages => {
            let messages: Vec<_> = messages.iter().map(message).collect();
            fields.insert("messages".to_owned(), json!(messages));
        }
    }
    fields.extend(example.tools.as_ref().map(|tools| ("tools".to_owned(), json!(tools))));
    fields
}

fn message(message: &Message) -> Value {
    let mut fields = Map::new();
    fields.insert("role".to_owned(), json!(message.role));
    fields.insert("content".to_owned(), json!(message.content));
    for (name, text) in &message.fields {
        // They are JSON already.
        fields.insert(name.clone(), serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_prompt_as_it_can_be_read_again() {
        let completion =
            Completion { text: "Hi.".to_owned(), tokens: 2, truncated: false, last_word: -0.1 };
        let drawn = Drawn { seed: 7, temperature: 0.5, adapter: None };
        let line = |example: Example| {
            let task = Task { id: "3".to_owned(), example, sample: 1 };
            Value::Object(super::line(&task, &completion, &drawn))
        };
        let sample = json!({"seed": 7, "temperature": 0.5, "adapter": null});
        assert_eq!(
            line(Example::from_instruction("Greet.", "", "", None)),
            json!({"id": "3", "instruction": "Greet.", "input": "", "output": "Hi.", "tokens": 2,
                "truncated": false, "sample": sample})
        );
        let messages = vec![Message::new("system", "Be kind."), Message::new("user", "Greet.")];
        assert_eq!(
            line(Example::from_messages(messages, "", None))["messages"],
            json!([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Greet."}])
        );
    }
}
