//! The tokenizer, with the token that ends a response.

use std::path::Path;

use anyhow::{Context, Result};
use cutq_core::example::{Example, Message};
use cutq_core::template::{Piece, Template};
use cutq_ffi::{Gguf, LlamaError, Tokenizer};

use crate::data::Encode;
use crate::text::AnyTemplate;

/// Turns prompts and responses into token ids.
pub struct Encoder {
    tokenizer: Tokenizer,
    end: u32,
    /// The blanks after the `<think>` that prompts end in, if they do.
    thought: Option<String>,
}

impl Encoder {
    /// The model's own tokenizer, or the one in a `tokenizer.json`.
    pub fn open(gguf: &Gguf, json: Option<&Path>, template: &AnyTemplate) -> Result<Self> {
        let tokenizer = match json {
            None => Tokenizer::from_gguf(gguf)
                .with_context(|| format!("{} has no usable tokenizer", gguf.path().display()))?,
            Some(path) => Tokenizer::from_json(path, gguf)
                .with_context(|| format!("the tokenizer {} cannot be used", path.display()))?,
        };
        let end = match template.is_chat() {
            true => turn_end(&tokenizer, template)?.unwrap_or_else(|| tokenizer.eos()),
            false => tokenizer.eos(),
        };
        Ok(Self { tokenizer, end, thought: opened_thought(template) })
    }

    /// The text of one token; bytes that are not text by themselves become U+FFFD.
    pub fn piece(&self, token: u32) -> String {
        self.tokenizer.piece(token)
    }

    /// The text of one token, between `⟦` and `⟧` if it is a special one.
    pub fn shown(&self, token: u32) -> String {
        let piece = self.tokenizer.piece(token);
        match self.tokenizer.is_special(token) {
            true => format!("⟦{piece}⟧"),
            false => piece,
        }
    }
}

const THOUGHT_TAG: &str = "<think>";

/// The blanks after the tag, if the template's prompts end in one: the response begins inside a
/// thought.
fn opened_thought(template: &AnyTemplate) -> Option<String> {
    let question = Example::from_messages(vec![Message::new("user", "question")], "", None);
    let pieces = template.prompt(&question, None).ok()?;
    let (_, blanks) = pieces.last()?.text().rsplit_once(THOUGHT_TAG)?;
    blanks.trim().is_empty().then(|| blanks.to_owned())
}

/// A response without the tag that its prompt has already.
fn without_thought_tag<'a>(response: &'a str, blanks: &str) -> &'a str {
    match response.trim_start().strip_prefix(THOUGHT_TAG) {
        Some(thought) => thought.strip_prefix(blanks).unwrap_or(thought),
        None => response,
    }
}

/// The token that ends an answer and that a chat template writes after an assistant's message; none
/// if it writes none, or refuses a conversation that goes on after a response.
///
/// Asked of the template rather than of the model: files name an end of turn that their own
/// template never uses.
fn turn_end(tokenizer: &Tokenizer, template: &AnyTemplate) -> Result<Option<u32>, LlamaError> {
    const RESPONSE: &str = "response";
    let messages = [("user", "question"), ("assistant", RESPONSE), ("user", "another")];
    let messages = messages.map(|(role, content)| Message::new(role, content));
    let example = Example::from_messages(messages.to_vec(), "", None);
    let Ok(pieces) = template.prompt(&example, None) else {
        return Ok(None);
    };
    let mut after = pieces.into_iter().skip_while(|piece| *piece != Piece::Data(RESPONSE.into()));
    let Some(markup) = after.nth(1) else {
        return Ok(None);
    };
    // What begins the next turn is special, too, but llama.cpp goes on after it.
    let ids = tokenizer.encode_prompt(&[markup])?;
    Ok(ids.into_iter().find(|&id| tokenizer.is_end(id)))
}

impl Encode for Encoder {
    type Error = LlamaError;

    fn prompt(&self, pieces: &[Piece]) -> Result<Vec<u32>, LlamaError> {
        self.tokenizer.encode_prompt(pieces)
    }

    fn response(&self, text: &str) -> Result<Vec<u32>, LlamaError> {
        let text = match &self.thought {
            Some(blanks) => without_thought_tag(text, blanks),
            None => text,
        };
        let mut ids = self.tokenizer.encode_response(text)?;
        ids.push(self.end);
        Ok(ids)
    }

    fn has_control_text(&self, text: &str) -> bool {
        self.tokenizer.has_control_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_is_opened_once() {
        for (response, blanks, expected) in [
            ("<think>\nhm\n</think>\n\n7", "\n", "hm\n</think>\n\n7"),
            ("\n<think>\nhm</think>7", "", "\nhm</think>7"),
            ("<think>hm</think>7", "\n", "hm</think>7"),
            ("7", "\n", "7"),
            ("say <think>", "\n", "say <think>"),
        ] {
            assert_eq!(without_thought_tag(response, blanks), expected, "{response:?}");
        }
    }
}
