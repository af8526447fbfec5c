//! The gated activation of the feed-forward network.

use cutq_kernels::{Kernels, Nonlinearity};

use crate::ggml::graph::{CustomOp, Graph, Node, floats, floats_mut};
use crate::ops::kernels::product::share;
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Tape, Var};
use crate::sys;

/// √(2/π), of the tanh approximation of GELU.
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
/// The cubic coefficient of the same.
const CUBIC: f32 = 0.044_715;

impl<'g> Tape<'g> {
    /// `activation(gate) · up`; see [`Kernels::gated_backward`] for the gradients.
    pub fn gated(&mut self, nonlinearity: Nonlinearity, gate: Var<'g>, up: Var<'g>) -> Var<'g> {
        match self.lowering {
            Lowering::Kernels { kernels, .. } => {
                self.fused_gated(Gated { kernels, nonlinearity }, gate, up)
            }
            Lowering::Portable { .. } => self.composed_gated(nonlinearity, gate, up),
        }
    }

    fn composed_gated(
        &mut self,
        nonlinearity: Nonlinearity,
        gate: Var<'g>,
        up: Var<'g>,
    ) -> Var<'g> {
        let g = self.graph;
        let (x, up_node) = (gate.node, up.node);
        let active = activate(g, nonlinearity, x);
        let y = g.mul(active, up_node);
        self.record(y, &[gate, up], move |dy| {
            let dgate = activation_gradient(g, nonlinearity, x, g.mul(dy, up_node));
            vec![dgate, g.mul(dy, active)]
        })
    }

    fn fused_gated(&mut self, op: Gated, gate: Var<'g>, up: Var<'g>) -> Var<'g> {
        let g = self.graph;
        let [n, n_tokens, ..] = gate.node.ne();
        let (sources, ne) = ([gate.node, up.node], [n, n_tokens, 1]);
        for node in sources {
            assert!(node.is_contiguous() && node.ne() == [n, n_tokens, 1, 1]);
        }
        let y = g.custom(sys::GGML_TYPE_F32, [n, n_tokens], &sources, Forward(op));
        self.record(y, &[gate, up], move |dy| {
            assert!(dy.is_contiguous() && dy.ne() == [n, n_tokens, 1, 1]);
            let sources = [sources[0], sources[1], dy];
            let both = g.custom(sys::GGML_TYPE_F32, [n, 2 * n_tokens], &sources, Backward(op));
            vec![g.part(both, 0, ne), g.part(both, n * n_tokens, ne)]
        })
    }
}

/// `x · sigmoid(x)`, or `½ x (1 + t)` with `t = tanh(√(2/π) (x + 0.044715 x³))`: ggml's own GELU
/// reads a table of 16-bit floats, which is too coarse for a gradient check.
fn activate<'g>(g: &'g Graph, nonlinearity: Nonlinearity, x: Node<'g>) -> Node<'g> {
    match nonlinearity {
        Nonlinearity::Silu => g.silu(x),
        Nonlinearity::Gelu => g.mul(g.affine(x, 0.5, 0.0), g.affine(gelu_tanh(g, x), 1.0, 1.0)),
    }
}

/// The gradient of [`activate`]; GELU's is `dy · ½ ((1 + t) + x (1 − t²) u')` with
/// `u' = √(2/π) (1 + 3 · 0.044715 x²)`.
fn activation_gradient<'g>(
    g: &'g Graph,
    nonlinearity: Nonlinearity,
    x: Node<'g>,
    dy: Node<'g>,
) -> Node<'g> {
    if nonlinearity == Nonlinearity::Silu {
        return g.silu_back(dy, x);
    }
    let t = gelu_tanh(g, x);
    let du = g.affine(g.sqr(x), 3.0 * CUBIC * SQRT_2_OVER_PI, SQRT_2_OVER_PI);
    let slope = g.mul(g.mul(g.affine(g.sqr(t), -1.0, 1.0), x), du);
    g.mul(dy, g.affine(g.add(slope, g.affine(t, 1.0, 1.0)), 0.5, 0.0))
}

fn gelu_tanh<'g>(g: &'g Graph, x: Node<'g>) -> Node<'g> {
    let inner = g.affine(g.sqr(x), CUBIC * SQRT_2_OVER_PI, SQRT_2_OVER_PI);
    g.tanh(g.mul(inner, x))
}

#[derive(Clone, Copy)]
struct Gated {
    kernels: Kernels,
    nonlinearity: Nonlinearity,
}

struct Forward(Gated);

/// `dgate` and, behind it, `dup`.
struct Backward(Gated);

impl CustomOp for Forward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Gated { kernels, nonlinearity } = self.0;
        let range = share((dst.ne[0] * dst.ne[1]) as usize, 16, thread, n_threads);
        // SAFETY: both sources are as large as `dst`; threads take different elements.
        unsafe {
            let [gate, up] = [0, 1].map(|i| floats(dst.src[i], range.clone()));
            kernels.gated(nonlinearity, gate, up, floats_mut(dst, range));
        }
    }
}

impl CustomOp for Backward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Gated { kernels, nonlinearity } = self.0;
        let n = (dst.ne[0] * dst.ne[1] / 2) as usize;
        let range = share(n, 16, thread, n_threads);
        // SAFETY: the sources are half as large as `dst`; threads take different elements of both
        // halves.
        unsafe {
            let [gate, up, dy] = [0, 1, 2].map(|i| floats(dst.src[i], range.clone()));
            let dgate = floats_mut(dst, range.clone());
            let dup = floats_mut(dst, range.start + n..range.end + n);
            kernels.gated_backward(nonlinearity, [gate, up], dy, [dgate, dup]);
        }
    }
}
