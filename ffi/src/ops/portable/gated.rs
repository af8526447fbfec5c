//! The gated nonlinearity of the feed-forward network:
//! [`Lowering::gated`](crate::ops::lowering::Lowering).

use cutq_kernels::Nonlinearity;

use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ops::tape::{Tape, Var};

const SQRT_2_OVER_PI: f32 = Nonlinearity::GELU_SQRT_2_OVER_PI;
const CUBIC: f32 = Nonlinearity::GELU_CUBIC;

pub(super) fn gated<'g>(tape: &mut Tape<'g>, f: Nonlinearity, [gate, up]: [Var<'g>; 2]) -> Var<'g> {
    let g = tape.graph;
    let (x, up_node) = (gate.node, up.node);
    let active = apply(g, f, x);
    let y = g.mul(active, up_node);
    tape.record(y, &[gate, up], move |dy| {
        vec![gradient(g, f, x, g.mul(dy, up_node)), g.mul(dy, active)]
    })
}

/// `x · sigmoid(x)`, or `½ x (1 + t)` with `t = tanh(√(2/π) (x + 0.044715 x³))`: ggml's own GELU
/// reads a table of 16-bit floats, which is too coarse for a gradient check.
fn apply<'g>(g: &'g Graph, f: Nonlinearity, x: Node<'g>) -> Node<'g> {
    match f {
        Nonlinearity::Silu => g.silu(x),
        Nonlinearity::Gelu => g.mul(g.affine(x, 0.5, 0.0), g.affine(gelu_tanh(g, x), 1.0, 1.0)),
    }
}

/// The gradient of [`apply`]; GELU's is `dy · ½ ((1 + t) + x (1 − t²) u')` with
/// `u' = √(2/π) (1 + 3 · 0.044715 x²)`.
fn gradient<'g>(g: &'g Graph, f: Nonlinearity, x: Node<'g>, dy: Node<'g>) -> Node<'g> {
    if f == Nonlinearity::Silu {
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
