//! What llama.cpp could not do.

use std::path::PathBuf;

/// What llama.cpp could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LlamaError {
    /// The model cannot be loaded.
    #[error("{path}: llama.cpp cannot load the model: {reason}")]
    Load {
        /// The file.
        path: PathBuf,
        /// What it logged.
        reason: String,
    },
    /// The GGUF has no tokenizer.
    #[error("{path}: the GGUF holds no tokenizer")]
    NoTokenizer {
        /// The file.
        path: PathBuf,
    },
    /// The tokenizer has no token that ends a text.
    #[error("{path}: the tokenizer names no token that ends a text (tokenizer.ggml.eos_token_id)")]
    NoEnd {
        /// The file.
        path: PathBuf,
    },
    /// A tokenizer.json cannot be used.
    #[error("{path}: not a tokenizer.json: {reason}")]
    TokenizerJson {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// Text cannot be tokenized.
    #[error("the tokenizer failed on {text:?}: {reason}")]
    Tokenize {
        /// The beginning of the text.
        text: String,
        /// Why.
        reason: String,
    },
    /// The adapter does not load.
    #[error("{path}: llama.cpp cannot load the adapter: {reason}")]
    Adapter {
        /// The file.
        path: PathBuf,
        /// What it logged.
        reason: String,
    },
    /// A context cannot be made.
    #[error("llama.cpp cannot make a context of {n_ctx} tokens: {reason}")]
    Context {
        /// Its size.
        n_ctx: usize,
        /// What it logged.
        reason: String,
    },
    /// A grammar is none.
    #[error("llama.cpp cannot read the grammar of the answers")]
    Grammar,
    /// More tokens than the context holds.
    #[error("{n_tokens} tokens do not fit into a context of {n_ctx}")]
    TooLong {
        /// Tokens.
        n_tokens: usize,
        /// Size of the context.
        n_ctx: usize,
    },
    /// Decoding failed.
    #[error("llama.cpp failed to decode (status {status}): {reason}")]
    Decode {
        /// Its status.
        status: i32,
        /// What it logged.
        reason: String,
    },
}
