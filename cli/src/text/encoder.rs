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
    /// What prompts end in if that begins a thought.
    opens_thought: Option<String>,
}

/// Begins a thought, in prompts and in responses.
const THOUGHT: &str = "<think>";

impl Encoder {
    /// The tokenizer, with what ends a response to prompts of the template.
    pub(super) fn new(tokenizer: Tokenizer, template: &AnyTemplate) -> Result<Self> {
        let end = match template.is_chat() {
            true => turn_end(&tokenizer, template)?.unwrap_or_else(|| tokenizer.eos()),
            false => tokenizer.eos(),
        };
        let opens_thought = template.opens_thought().map(str::to_owned);
        Ok(Self { tokenizer, end, opens_thought })
    }

    /// The text of one token; bytes that are not text by themselves become U+FFFD.
    pub fn piece(&self, token: u32) -> String {
        self.tokenizer.piece(token)
    }

    /// The text of an answer; a character may be spread over several tokens.
    pub fn text(&self, tokens: &[u32]) -> String {
        let bytes = tokens.iter().flat_map(|&token| self.tokenizer.piece_bytes(token));
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }

    /// The tokens of a vocabulary of `n_vocab` that end an answer.
    pub fn ends(&self, n_vocab: usize) -> Vec<u32> {
        let all = 0..u32::try_from(n_vocab).unwrap_or(u32::MAX);
        all.filter(|&token| token == self.end || self.tokenizer.is_end(token)).collect()
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

/// The model's own tokenizer, or the one in a `tokenizer.json`.
pub(super) fn tokenizer(gguf: &Gguf, json: Option<&Path>) -> Result<Tokenizer> {
    match json {
        None => Tokenizer::from_gguf(gguf)
            .with_context(|| format!("{} has no usable tokenizer", gguf.path().display())),
        Some(path) => Tokenizer::from_json(path, gguf)
            .with_context(|| format!("the tokenizer {} cannot be used", path.display())),
    }
}

/// The token that a chat template writes after an assistant's message and at which llama.cpp ends
/// generation; none if it writes none, or refuses a conversation that goes on after a response.
///
/// Asked of the template rather than of the model: files name an end of turn that their own
/// template never uses.
fn turn_end(tokenizer: &Tokenizer, template: &AnyTemplate) -> Result<Option<u32>, LlamaError> {
    // Words that no template has of its own.
    let [response, next] = ["qvwresponse", "qvwnext"];
    let messages = [("user", "question"), ("assistant", response), ("user", next)];
    let messages = messages.map(|(role, content)| Message::new(role, content));
    let example = Example::from_messages(messages.to_vec(), "", None);
    let Ok(pieces) = template.prompt(&example, None) else {
        return Ok(None);
    };
    let text: String = pieces.iter().map(Piece::text).collect();
    let between = text.split_once(response).and_then(|(_, after)| after.split_once(next));
    let Some((between, _)) = between else {
        return Ok(None);
    };
    let mut ids = tokenizer.encode_prompt(&[Piece::Template(between.to_owned())])?.into_iter();
    Ok(ids.find(|&id| {
        tokenizer.is_special(id) && tokenizer.is_end(id) && Some(id) != tokenizer.bos()
    }))
}

/// The response without the tag with which `opened`, the end of its prompt, has begun its thought,
/// nor the blanks after it.
fn continued<'a>(response: &'a str, opened: Option<&str>) -> &'a str {
    let blanks = opened.and_then(|opened| opened.strip_prefix(THOUGHT));
    let (Some(blanks), Some(thought)) = (blanks, response.trim_start().strip_prefix(THOUGHT))
    else {
        return response;
    };
    thought.strip_prefix(blanks).unwrap_or(thought)
}

impl Encode for Encoder {
    type Error = LlamaError;

    fn prompt(&self, pieces: &[Piece]) -> Result<Vec<u32>, LlamaError> {
        self.tokenizer.encode_prompt(pieces)
    }

    fn response(&self, text: &str) -> Result<Vec<u32>, LlamaError> {
        let text = continued(text, self.opens_thought.as_deref());
        let mut ids = self.tokenizer.encode_response(text)?;
        ids.push(self.end);
        Ok(ids)
    }

    fn piece(&self, token: u32) -> Vec<u8> {
        self.tokenizer.piece_bytes(token)
    }

    fn has_control_text(&self, text: &str) -> bool {
        self.tokenizer.has_control_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_that_the_prompt_has_begun_is_not_begun_again() {
        let opened = Some("<think>\n");
        assert_eq!(continued("<think>\nAdd.</think>7", opened), "Add.</think>7");
        assert_eq!(continued("\n<think>Add.</think>7", opened), "Add.</think>7");
        assert_eq!(continued("<think>\nAdd.", Some("<think>")), "\nAdd.");
        assert_eq!(continued("7", opened), "7");
        assert_eq!(continued("<think>Add.", None), "<think>Add.");
    }
}
