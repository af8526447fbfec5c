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
        Ok(Self { tokenizer, end })
    }

    /// The text of one token; bytes that are not text by themselves become U+FFFD.
    pub fn piece(&self, token: u32) -> String {
        self.tokenizer.piece(token)
    }

    /// How many texts of control tokens, such as `<|im_end|>`, an example holds. They stay text.
    pub fn control_texts(&self, example: &Example) -> usize {
        let texts = example.messages.iter().map(|message| &message.content);
        let texts = texts.chain([&example.response]).chain(&example.judgment);
        texts.map(|text| self.tokenizer.control_texts(text)).sum()
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
        let mut ids = self.tokenizer.encode_response(text)?;
        ids.push(self.end);
        Ok(ids)
    }
}
