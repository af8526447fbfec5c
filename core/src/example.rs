//! One piece of training data: a conversation, a response, and perhaps a judgment of it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::{format, vec, vec::Vec};
use core::ops::Range;

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`.
    pub role: String,
    /// What is said.
    pub content: String,
    /// Further fields that a chat template may know, such as `tool_calls` or `reasoning_content`:
    /// names and values as JSON text.
    pub fields: Vec<(String, String)>,
}

impl Message {
    /// A turn that is only text.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into(), fields: Vec::new() }
    }
}

/// A response in its conversation. With a judgment it is a poor response, without one a good one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Example {
    /// Everything before the response.
    pub messages: Vec<Message>,
    /// The tools that the conversation may call, as a JSON array for a chat template.
    pub tools: Option<String>,
    /// The text to learn from, without the closing EOS token.
    pub response: String,
    /// What is wrong with the response, in plain language.
    pub judgment: Option<String>,
    /// What the judgment quotes of the response, as ranges of its bytes.
    pub quotes: Vec<Range<usize>>,
    /// Whether the response was cut before its end: then nothing ends it.
    pub truncated: bool,
}

impl Example {
    /// An Alpaca-style example: one user message, `input` after the instruction on a new line if
    /// not empty.
    pub fn from_instruction(
        instruction: &str,
        input: &str,
        response: &str,
        judgment: Option<&str>,
    ) -> Self {
        let content = if input.is_empty() {
            instruction.to_owned()
        } else {
            format!("{instruction}\n{input}")
        };
        Self::from_messages(vec![Message::new("user", content)], response, judgment)
    }

    /// A conversation and the response that follows it.
    pub fn from_messages(messages: Vec<Message>, response: &str, judgment: Option<&str>) -> Self {
        let judgment = judgment.map(ToOwned::to_owned);
        Self { messages, response: response.to_owned(), judgment, ..Self::default() }
    }

    /// The conversation as one text, for templates that know no roles: the messages' contents, one
    /// per line.
    pub fn instruction(&self) -> String {
        let contents: Vec<&str> = self.messages.iter().map(|m| m.content.as_str()).collect();
        contents.join("\n")
    }

    /// Whether there is a judgment.
    pub fn is_judged(&self) -> bool {
        self.judgment.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_follows_the_instruction_on_a_new_line() {
        let example = Example::from_instruction("Rhyme.", "cat", "hat", None);
        assert_eq!(example.instruction(), "Rhyme.\ncat");
        let example = Example::from_instruction("Rhyme with cat.", "", "dog", Some("No rhyme."));
        assert_eq!(example.instruction(), "Rhyme with cat.");
        assert!(example.is_judged());
    }
}
