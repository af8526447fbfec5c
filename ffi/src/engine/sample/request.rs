//! What is asked of the engine, and what it answers.

/// A prompt that is to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRequest {
    /// Token ids; at least one.
    pub prompt: Vec<u32>,
    /// Decides the draws.
    pub seed: u64,
    /// Tokens at most, one at least.
    pub max_tokens: usize,
}

/// How a prompt was continued.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The answer, without the token that ends it.
    pub tokens: Vec<u32>,
    /// Nats, of each token and of the one that ends the answer, if one does: as the model has them,
    /// whatever the temperature.
    pub log_probs: Vec<f64>,
    /// Why it ends.
    pub end: SampleEnd,
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleEnd {
    /// With this token, one of those that end answers.
    Token(u32),
    /// It has as many tokens as it may have.
    Length,
    /// The model's context is full.
    Context,
}

/// How many sequences there are at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleOptions {
    /// Bytes for keys and values: sequences wait for those before them where they do not suffice.
    pub memory: u64,
    /// Sequences at most.
    pub n_parallel: usize,
}
