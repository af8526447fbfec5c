//! Text to tokens: tokenizers and chat templates.

pub(crate) mod chat_template;
pub(crate) mod tokenizer;
