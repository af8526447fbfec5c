//! A conversation in the form that a template reads, with its texts or with marks in their place.

use cutq_core::example::{Example, Message};
use serde_json::{Map, Value, json};

use super::align::{Text, mark};

/// The messages of an example, with the texts in them.
#[derive(Debug)]
pub(super) struct Conversation {
    /// `messages`, as a template reads it.
    pub messages: Value,
    /// The same with a mark in place of every text that is not empty.
    pub marked: Value,
    /// The texts, by their mark.
    pub texts: Vec<Text>,
    /// For every message the index of its first text.
    pub first_text: Vec<usize>,
}

/// The tags around what a model thinks before it answers. Templates look for them in what an
/// assistant said, so they are no part of a marked text.
const TAGS: [&str; 2] = ["<think>", "</think>"];

impl Conversation {
    /// `calls_as_text` leaves the arguments of tool calls as the JSON text that some data has,
    /// instead of the object that it stands for.
    pub fn new(example: &Example, calls_as_text: bool) -> Self {
        let mut texts = Vec::new();
        let mut first_text = Vec::new();
        let (messages, marked) = example
            .messages
            .iter()
            .map(|message| {
                first_text.push(texts.len());
                both(message, calls_as_text, &mut texts)
            })
            .unzip();
        Self { messages: Value::Array(messages), marked: Value::Array(marked), texts, first_text }
    }

    /// The mark of one more text, such as a judgment that the template takes by itself.
    pub fn add(&mut self, text: &str) -> String {
        self.texts.push(Text { text: text.to_owned(), in_json: false });
        mark(self.texts.len() - 1)
    }
}

/// A message with its texts and with marks.
fn both(message: &Message, calls_as_text: bool, texts: &mut Vec<Text>) -> (Value, Value) {
    let mut plain = Map::new();
    let mut marked = Map::new();
    let mut put = |name: &str, (value, mark): (Value, Value)| {
        plain.insert(name.to_owned(), value);
        marked.insert(name.to_owned(), mark);
    };
    put("role", (json!(message.role), json!(message.role)));
    let content = match message.role == "assistant" {
        true => said(&message.content, texts),
        false => text(&message.content, false, texts),
    };
    put("content", content);
    for (name, json) in &message.fields {
        // What is no JSON was never a field of JSON.
        let value = serde_json::from_str(json).unwrap_or_else(|_| json!(json));
        put(name, field(name, value, calls_as_text, texts));
    }
    (Value::Object(plain), Value::Object(marked))
}

/// A text and its mark. What is empty stays empty, since templates ask for that.
fn text(content: &str, in_json: bool, texts: &mut Vec<Text>) -> (Value, Value) {
    if content.trim().is_empty() {
        return (json!(content), json!(content));
    }
    texts.push(Text { text: content.to_owned(), in_json });
    (json!(content), json!(mark(texts.len() - 1)))
}

/// What an assistant said, the tags of its thoughts left in place.
fn said(content: &str, texts: &mut Vec<Text>) -> (Value, Value) {
    let mut marked = String::new();
    let mut rest = content;
    while let Some((at, tag)) = TAGS.iter().filter_map(|tag| Some((rest.find(tag)?, tag))).min() {
        let (_, mark) = text(&rest[..at], false, texts);
        marked.push_str(mark.as_str().unwrap_or_default());
        marked.push_str(tag);
        rest = &rest[at + tag.len()..];
    }
    let (_, mark) = text(rest, false, texts);
    marked.push_str(mark.as_str().unwrap_or_default());
    (json!(content), json!(marked))
}

/// A field's value, and the same with marks for the texts in it. Names and numbers of calls are the
/// template's to compare.
fn field(name: &str, value: Value, calls_as_text: bool, texts: &mut Vec<Text>) -> (Value, Value) {
    match (name, value) {
        ("type" | "name" | "id" | "tool_call_id", value) => (value.clone(), value),
        ("arguments", Value::String(json)) if !calls_as_text => {
            let value = serde_json::from_str(&json).ok().filter(Value::is_object);
            leaves(value.unwrap_or(Value::String(json)), calls_as_text, texts)
        }
        ("arguments", value @ Value::Object(_)) if calls_as_text => {
            text(&value.to_string(), true, texts)
        }
        (_, value) => leaves(value, calls_as_text, texts),
    }
}

fn leaves(value: Value, calls_as_text: bool, texts: &mut Vec<Text>) -> (Value, Value) {
    match value {
        Value::String(content) => text(&content, true, texts),
        Value::Array(list) => {
            let (plain, marked) =
                list.into_iter().map(|value| leaves(value, calls_as_text, texts)).unzip();
            (Value::Array(plain), Value::Array(marked))
        }
        Value::Object(map) => {
            let (mut plain, mut marked) = (Map::new(), Map::new());
            for (name, value) in map {
                let (value, mark) = field(&name, value, calls_as_text, texts);
                plain.insert(name.clone(), value);
                marked.insert(name, mark);
            }
            (Value::Object(plain), Value::Object(marked))
        }
        other => (other.clone(), other),
    }
}
