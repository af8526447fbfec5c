//! What the training loop needs of a language model.

use alloc::vec::Vec;

use crate::float::Float;

/// A prompt and the response that follows it; only the response's tokens are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence<'a> {
    /// Token ids read but not scored; at least one.
    pub prompt: &'a [u32],
    /// Token ids scored; at least one.
    pub response: &'a [u32],
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A backward pass may follow; dropout is on.
    Train {
        /// Decides which values dropout removes. Drawn from the run's seed, the step and the
        /// micro-batch, so that a resumed run drops the same ones.
        seed: u64,
    },
    /// Nothing random, nothing kept.
    Eval,
}

/// One trainable tensor, as flat values.
#[derive(Debug)]
pub struct Parameter<'a, F> {
    /// Unique in the model.
    pub name: &'a str,
    /// The values.
    pub values: &'a mut [F],
    /// The gradients, one per value.
    pub grads: &'a mut [F],
    /// The gradient is zero by necessity now, as is that of `lora_a` while its `lora_b` is all
    /// zeros.
    pub gated: bool,
}

/// A model with trainable parameters.
pub trait Model {
    /// The parameters' type.
    type Float: Float;
    /// What can go wrong in the engine.
    type Error: core::error::Error + 'static;

    /// Log-probabilities (nats) of every response token of every sequence, in order, as one flat
    /// vector. A sequence does not see the others.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn forward(&mut self, sequences: &[Sequence<'_>], mode: Mode) -> Result<Vec<f64>, Self::Error>;

    /// Adds the loss's gradient to every parameter's, given `d loss / d log_probs` of the latest
    /// [`Model::forward`], in the same order.
    ///
    /// A sequence whose weights are all zero adds nothing, and an engine may skip it.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), Self::Error>;

    /// Calls `visit` with every trainable parameter, always in the same order.
    fn visit_parameters(&mut self, visit: &mut dyn FnMut(Parameter<'_, Self::Float>));

    /// Sets all gradients to zero.
    fn zero_grads(&mut self);
}
