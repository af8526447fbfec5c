//! Text to tokens: tokenizers and chat templates.

pub(crate) mod chat_template;
pub(crate) mod controls;
pub(crate) mod end_token;
pub(crate) mod tokenizer;
