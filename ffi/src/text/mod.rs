//! Text to tokens.

pub(crate) mod chat_template;
pub(crate) mod tokenizer;
