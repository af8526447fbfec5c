//! The head: final norm, and the log-softmax of the logits, at target positions only.

mod fused;
mod portable;

use cutq_kernels::LogProb;

use crate::backend::{Backend, BackendError};
use crate::batch::Batch;
use crate::buffer::Tensor;
use crate::lowering::Lowering;
use crate::weights::Weights;

use fused::Fused;

/// The head of a model, over the residual stream of a pack.
pub(crate) struct Head<'a> {
    pub backend: &'a Backend,
    pub lowering: Lowering,
    pub weights: &'a Weights,
    pub rms_eps: f32,
    pub batch: &'a Batch,
    /// The residual stream after the last block, (n_embd, tokens).
    pub stream: &'a Tensor,
}

impl Head<'_> {
    /// The log-probability of every target.
    pub fn log_probs(&self) -> Result<Vec<LogProb>, BackendError> {
        match self.lowering {
            Lowering::Kernels { kernels, precision } => {
                Fused { head: self, kernels, precision }.log_probs()
            }
            Lowering::Portable { .. } => self.composed_log_probs(),
        }
    }

    /// Writes the loss's gradient for the residual stream to `d_stream`, given its gradient for
    /// every target's log-probability. The logits are computed again: keeping them would take more
    /// memory than the rest of the run.
    pub fn backward(
        &self,
        found: &[LogProb],
        dlog_probs: &[f64],
        d_stream: &Tensor,
    ) -> Result<(), BackendError> {
        match self.lowering {
            Lowering::Kernels { kernels, precision } => {
                Fused { head: self, kernels, precision }.backward(found, dlog_probs, d_stream)
            }
            Lowering::Portable { .. } => self.composed_backward(dlog_probs, d_stream),
        }
    }
}
