//! How operations become nodes of a graph.

use cutq_kernels::{LogProb, Nonlinearity};

use crate::ggml::backend::BackendError;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::rope::Rotation;
use crate::ggml::tensor::Tensor;
use crate::ops::attention::{Attention, Kept};
use crate::ops::head::Head;
use crate::ops::linear::Linear;
use crate::ops::tape::{Tape, Var};

/// One of the two ways to compute a model's operations: by this project's kernels, or composed of
/// operations that every device has. Both record the same gradients.
///
/// Shapes are ggml's, fastest dimension first: `D` is the width of a head, `H` and `Hkv` the heads
/// of queries and of keys, `T` the tokens.
pub(crate) trait Lowering {
    /// `y = W x + scaling · B A dropout(x)`, with `x` of shape (in, T) and `y` of (out, T). W is
    /// frozen, so its gradient is `dx = Wᵀ dy + …`. [`cutq_kernels::LoraShape`] states the
    /// adapter's products and gradients.
    fn linear<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, linear: Linear<'g>) -> Var<'g>;

    /// `y = w · x / r` with `r = √(mean(x²) + eps)` along the fastest dimension.
    ///
    /// With `x̂ = x / r` and `g = w · dy`: `dx = (g − x̂ · mean(g · x̂)) / r`.
    fn rms_norm<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, weight: Node<'g>, eps: f32) -> Var<'g>;

    /// `x`, of shape (D, H, T), with each pair of a head's dimensions turned by its frequency times the
    /// token's position; the gradient turns back.
    fn rope<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, rotation: Rotation<'g>) -> Var<'g>;

    /// `f(gate) · up`, element by element, all of shape (n_ff, T). See
    /// [`cutq_kernels::Kernels::gated_backward`] for the gradients.
    fn gated<'g>(&self, tape: &mut Tape<'g>, f: Nonlinearity, inputs: [Var<'g>; 2]) -> Var<'g>;

    /// `softmax(scale · qᵀk) v` within each segment, with `q` of shape (D, H, T), `k` and `v` of
    /// (D, Hkv, T), the result of (D·H, T). See [`cutq_kernels::Kernels::attention`] for the
    /// gradient.
    fn attention<'g>(
        &self,
        tape: &mut Tape<'g>,
        qkv: [Var<'g>; 3],
        attention: &Attention<'g>,
    ) -> Var<'g>;

    /// [`Lowering::attention`] of new tokens of sequences whose earlier ones are kept; keeps those of
    /// the new ones. By kernels only, and without a gradient.
    fn kept_attention<'g>(
        &self,
        tape: &mut Tape<'g>,
        qkv: [Var<'g>; 3],
        attention: &Attention<'g>,
        kept: Kept<'g>,
    ) -> Var<'g>;

    /// A matrix of the adapter, of shape `ne`, where graphs can read it.
    fn adapter_matrix<'g>(&self, graph: &'g Graph, values: &'g [f32], ne: [usize; 2]) -> Node<'g>;

    /// The log-probability of every target, given the residual behind the last layer.
    fn log_probs(&self, head: &Head<'_>, residual: &Tensor) -> Result<Vec<LogProb>, BackendError>;

    /// Writes the loss's gradient for the residual to `d_residual`, given its gradient for every
    /// target's log-probability and what [`Lowering::log_probs`] found. The logits are computed
    /// again: keeping them would take more memory than the rest of the run.
    fn head_backward(
        &self,
        head: &Head<'_>,
        gradients: HeadGradient<'_>,
        residual: &Tensor,
        d_residual: &Tensor,
    ) -> Result<(), BackendError>;

    /// The graphs of both passes of the head, to be measured or asked for what they compute, never
    /// to run; one of those that are alike, and none where the kernels compute.
    fn head_graphs(&self, head: &Head<'_>) -> Vec<Graph>;

    /// What gradients are multiplied by on their way through the layers, a power of two.
    fn gradient_scale(&self, dlog_probs: &[f64]) -> f64;
}

/// What is known of the targets before the head's backward pass, in their order.
#[derive(Clone, Copy)]
pub(crate) struct HeadGradient<'a> {
    /// As the forward pass found them.
    pub log_probs: &'a [LogProb],
    /// The loss's gradient for each.
    pub dlog_probs: &'a [f64],
}
