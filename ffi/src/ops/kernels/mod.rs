//! Operations by this project's kernels, as custom nodes of a graph: on the CPU only.

mod attention;
mod gated;
mod head;
mod kept_attention;
mod linear;
pub(crate) mod panels;
mod product;
mod rms_norm;
mod rope;

use cutq_kernels::{Kernels, LogProb, Nonlinearity, Precision};

use crate::ggml::backend::BackendError;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::rope::Rotation;
use crate::ggml::tensor::Tensor;
use crate::ops::attention::{Attention, Kept};
use crate::ops::head::Head;
use crate::ops::linear::Linear;
use crate::ops::lowering::{HeadGradient, Lowering};
use crate::ops::tape::{Tape, Var};

/// The kernels of this CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByKernels {
    pub kernels: Kernels,
    /// Arithmetic of the products with frozen weights.
    pub precision: Precision,
    /// Threads that divide the work of a node.
    pub n_threads: usize,
}

impl Lowering for ByKernels {
    fn linear<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, linear: Linear<'g>) -> Var<'g> {
        linear::linear(*self, tape, x, linear)
    }

    fn rms_norm<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, weight: Node<'g>, eps: f32) -> Var<'g> {
        rms_norm::rms_norm(self.kernels, tape, x, weight, eps)
    }

    fn rope<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, rotation: Rotation<'g>) -> Var<'g> {
        rope::rope(self.kernels, tape, x, rotation)
    }

    fn gated<'g>(&self, tape: &mut Tape<'g>, f: Nonlinearity, inputs: [Var<'g>; 2]) -> Var<'g> {
        gated::gated(self.kernels, tape, f, inputs)
    }

    fn attention<'g>(
        &self,
        tape: &mut Tape<'g>,
        qkv: [Var<'g>; 3],
        attention: &Attention<'g>,
    ) -> Var<'g> {
        attention::attention(*self, tape, qkv, attention)
    }

    fn kept_attention<'g>(
        &self,
        tape: &mut Tape<'g>,
        qkv: [Var<'g>; 3],
        attention: &Attention<'g>,
        kept: Kept<'g>,
    ) -> Var<'g> {
        kept_attention::attention(*self, tape, qkv, attention, kept)
    }

    fn adapter_matrix<'g>(&self, graph: &'g Graph, values: &'g [f32], ne: [usize; 2]) -> Node<'g> {
        graph.slice(values, ne)
    }

    fn log_probs(&self, head: &Head<'_>, residual: &Tensor) -> Result<Vec<LogProb>, BackendError> {
        head::log_probs(*self, head, residual)
    }

    fn head_backward(
        &self,
        head: &Head<'_>,
        gradients: HeadGradient<'_>,
        residual: &Tensor,
        d_residual: &Tensor,
    ) -> Result<(), BackendError> {
        head::backward(*self, head, gradients, residual, d_residual)
    }

    fn head_graphs(&self, _: &Head<'_>) -> Vec<Graph> {
        Vec::new()
    }

    fn gradient_scale(&self, _: &[f64]) -> f64 {
        1.0
    }
}
