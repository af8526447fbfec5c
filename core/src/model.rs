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
    /// Tells it from the other sequences of a step: what is random in a sequence depends on the
    /// step's seed and on this, not on what shares a pass with it.
    pub id: u64,
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A backward pass may follow; dropout is on.
    Train {
        /// Decides, together with [`Sequence::id`], which values dropout removes. Drawn from the
        /// run's seed and the step, so that a resumed run drops the same ones, and so does one with
        /// other micro-batches.
        seed: u64,
    },
    /// Nothing is random, and nothing is saved for a backward pass.
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

/// A language model with trainable parameters, as the [`Trainer`](crate::trainer::Trainer) drives
/// it.
///
/// | [`Trainer::step`](crate::trainer::Trainer::step) calls | how often | to |
/// |---|---|---|
/// | `zero_grads` | once | begin |
/// | `forward` in [`Mode::Train`], `backward` | per micro-batch | add up gradients |
/// | `visit_parameters` | per micro-batch | find gradients that are not finite |
/// | `visit_parameters` | once | take the norm and find parameters that nothing trains |
/// | `visit_parameters` | once | clip the gradients and update the values, in place |
///
/// A failed step stops before the update. To name the example at fault it may repeat the first
/// three rows with each example of a micro-batch alone.
/// [`Trainer::evaluate`](crate::trainer::Trainer::evaluate) calls `forward` in [`Mode::Eval`] only.
pub trait Model {
    /// The parameters' type.
    type Float: Float;
    /// What can go wrong in the engine.
    type Error: core::error::Error + 'static;

    /// Log-probabilities of every response token of every sequence.
    ///
    /// One flat vector in nats, in the order of the sequences, of length `Σ response.len()`. The
    /// prompt's last token predicts the response's first; a sequence does not see the others. An
    /// example's contexts are neighbours, in the order plain, judged, contrast, and share their
    /// response.
    ///
    /// # Errors
    /// Whatever the engine reports, for example a token id outside its vocabulary: the trainer
    /// refuses empty prompts and responses, and knows no more.
    fn forward(&mut self, sequences: &[Sequence<'_>], mode: Mode) -> Result<Vec<f64>, Self::Error>;

    /// Adds the gradient of the loss to every parameter's.
    ///
    /// `dlog_probs` is `d loss / d log_probs` of the latest [`Model::forward`], of the same length
    /// and order. A sequence whose weights are all zero adds nothing, and an engine may skip it.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), Self::Error>;

    /// Calls `visit` with every trainable parameter, always in the same order.
    fn visit_parameters(&mut self, visit: &mut dyn FnMut(Parameter<'_, Self::Float>));

    /// Sets all gradients to zero.
    fn zero_grads(&mut self);
}
