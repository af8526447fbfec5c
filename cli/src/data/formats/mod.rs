//! The formats that data comes in, and how one is recognised.

mod alpaca;
mod chat;
mod fields;
mod shepherd;

use clap::ValueEnum;
use cutq_core::example::Example;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::problem::Problem;
use fields::names;

/// Which fields an example is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// By the fields of each example
    #[default]
    Auto,
    /// `instruction`, `input`, `output`, `judgment`
    Alpaca,
    /// `question`, `answer`, `feedback`
    Shepherd,
    /// `messages`, `judgment`
    Chat,
}

impl Format {
    /// Reads one object.
    ///
    /// # Errors
    /// Fields that are absent, of the wrong kind or empty.
    pub fn example(self, fields: &Map<String, Value>) -> Result<Example, Problem> {
        match self {
            Self::Auto => Self::detect(fields)?.example(fields),
            Self::Alpaca => alpaca::example(fields),
            Self::Shepherd => shepherd::example(fields),
            Self::Chat => chat::example(fields),
        }
    }

    /// One field of a format is enough to expect it, so that the message about a missing field
    /// names the format that was meant.
    fn detect(fields: &Map<String, Value>) -> Result<Self, Problem> {
        let has = |name: &str| fields.contains_key(name);
        if has("messages") {
            Ok(Self::Chat)
        } else if has("instruction") || has("output") {
            Ok(Self::Alpaca)
        } else if has("answer") || has("feedback") {
            Ok(Self::Shepherd)
        } else {
            let needs =
                [("alpaca", alpaca::NEEDS), ("shepherd", shepherd::NEEDS), ("chat", chat::NEEDS)];
            let needs = needs.map(|(format, needs)| format!("{format} needs {needs}")).join(", ");
            Err(Problem::UnknownFormat { found: names(fields), needs })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn example(value: Value) -> Result<Example, String> {
        let map = value.as_object().expect("an object").clone();
        Format::Auto.example(&map).map_err(|e| e.to_string())
    }

    #[test]
    fn each_format_is_detected() {
        let alpaca = example(json!({"id": 3, "instruction": "Add.", "input": "1 2",
            "output": "3", "judgment": null}))
        .expect("alpaca");
        assert_eq!(alpaca.instruction(), "Add.\n1 2");
        assert_eq!((alpaca.response.as_str(), alpaca.judgment), ("3", None));

        let shepherd =
            example(json!({"question": "q", "answer": "a", "feedback": "f"})).expect("shepherd");
        assert_eq!(shepherd.judgment.as_deref(), Some("f"));

        let chat = example(json!({"messages": [
            {"role": "system", "content": "s"}, {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a"}], "judgment": " "}))
        .expect("chat");
        assert_eq!(chat.messages.len(), 2);
        assert_eq!((chat.response.as_str(), chat.judgment), ("a", None));
    }

    #[test]
    fn wrong_fields_are_listed() {
        let cases = [
            (json!({"text": "x"}), "found `text`; alpaca needs `instruction`"),
            (json!({"instruction": "x"}), "no field `output`; found `instruction`"),
            (json!({"instruction": "x", "output": 3}), "`output` must be a string, found a number"),
            (json!({"instruction": "x", "output": " "}), "`output` is empty"),
            (
                json!({"instruction": "x", "output": "y", "judgment": []}),
                "`judgment` must be a string",
            ),
            (json!({"messages": "x"}), "`messages` must be an array of messages, found a string"),
            (json!({"messages": [{"role": "assistant", "content": "a"}]}), "found assistant"),
            (json!({"messages": [{"role": "bot", "content": "a"}]}), "found \"bot\""),
            (
                json!({"messages": [{"role": "user"}]}),
                "messages[0].content` must be a string, found null",
            ),
        ];
        for (value, expected) in cases {
            let message = example(value).expect_err(expected);
            assert!(message.contains(expected), "{message} lacks {expected}");
        }
    }
}
