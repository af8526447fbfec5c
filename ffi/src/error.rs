//! Errors that more than one layer of the crate returns.

use cutq_kernels::SimdError;

use crate::ggml::backend::BackendError;
use crate::model::error::ArchitectureError;

/// Why an engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The model cannot be trained.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// A graph did not run.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// `CUTQ_SIMD` asks for what the CPU lacks.
    #[error(transparent)]
    Simd(#[from] SimdError),
    /// A token id that the model does not have.
    #[error("token {token} is outside the model's vocabulary of {n_vocab}")]
    Token {
        /// The id.
        token: u32,
        /// Entries of the vocabulary.
        n_vocab: usize,
    },
    /// A sequence that the model cannot hold.
    #[error("a sequence of {len} tokens: the model's context holds {context_length}")]
    TooLong {
        /// Its length.
        len: usize,
        /// What the model holds.
        context_length: usize,
    },
    /// A sequence without a prompt or without a response.
    #[error(
        "a sequence with {prompt} prompt and {response} response tokens: both must be positive"
    )]
    Empty {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the response.
        response: usize,
    },
    /// Answers are drawn where the kernels compute.
    #[error("answers to many prompts are drawn on the CPU so far\nhint: --device cpu")]
    SamplesOnCpu,
    /// Less memory than the keys and values of one sequence take.
    #[error("keys and values of one sequence take {needed} bytes, {memory} are allowed")]
    SampleMemory {
        /// For the longest sequence.
        needed: u64,
        /// What there is.
        memory: u64,
    },
    /// `backward` without a forward pass in training mode before it.
    #[error("backward needs a forward pass in training mode, with as many targets, before it")]
    NoForward,
}
