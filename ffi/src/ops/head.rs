//! The head: final norm, and the log-softmax of the logits, at target positions only.

use std::rc::Rc;

use cutq_kernels::LogProb;

use crate::engine::batch::Batch;
use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::buffer::Tensor;
use crate::ggml::graph::{Graph, Node};
use crate::ggml::operation::Operation;
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Tape, Var};
use crate::residency::weights::HeadWeights;

use crate::ops::kernels::head::Fused;

/// The head of a model, for a pack. The residual stream after the last block, of shape
/// (n_embd, tokens), comes in as `stream`.
pub(crate) struct Head<'a> {
    pub backend: &'a Backend,
    pub lowering: Lowering,
    pub weights: Rc<HeadWeights>,
    pub rms_eps: f32,
    pub batch: &'a Batch,
}

/// Some rows of the residual stream, on their way to their logits.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'g> {
    pub stream: Var<'g>,
    pub normed: Var<'g>,
}

impl Head<'_> {
    /// The log-probability of every target.
    pub fn log_probs(&self, stream: &Tensor) -> Result<Vec<LogProb>, BackendError> {
        match self.lowering {
            Lowering::Kernels { kernels, precision } => {
                Fused { head: self, kernels, precision }.log_probs(stream)
            }
            Lowering::Portable { .. } => self.composed_log_probs(stream),
        }
    }

    /// What both passes ask of a device: nothing where the kernels compute.
    pub fn operations(&self) -> Vec<Operation> {
        match self.lowering {
            Lowering::Kernels { .. } => Vec::new(),
            Lowering::Portable { .. } => self.composed_operations(),
        }
    }

    /// Writes the loss's gradient for the residual stream to `d_stream`, given its gradient for
    /// every target's log-probability. The logits are computed again: keeping them would take more
    /// memory than the rest of the run.
    pub fn backward(
        &self,
        found: &[LogProb],
        dlog_probs: &[f64],
        stream: &Tensor,
        d_stream: &Tensor,
    ) -> Result<(), BackendError> {
        match self.lowering {
            Lowering::Kernels { kernels, precision } => {
                let fused = Fused { head: self, kernels, precision };
                fused.backward(found, dlog_probs, stream, d_stream)
            }
            Lowering::Portable { .. } => self.composed_backward(dlog_probs, stream, d_stream),
        }
    }

    /// Rows `positions` of the residual stream after the final norm.
    pub fn rows<'g>(
        &'g self,
        tape: &mut Tape<'g>,
        stream: Node<'g>,
        positions: impl Iterator<Item = usize>,
    ) -> Rows<'g> {
        let graph: &'g Graph = tape.graph;
        let index: Vec<i32> = positions.map(|position| position as i32).collect();
        let index = graph.input([index.len(), 1], index);
        let stream = tape.parameter(graph.rows(stream, index));
        let norm = graph.leaf(&self.weights.norm);
        Rows { stream, normed: tape.rms_norm(stream, norm, self.rms_eps) }
    }
}
