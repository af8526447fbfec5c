//! The nonlinearities of the feed-forward network.

use crate::architecture::Activation;
use crate::graph::{Graph, Node};
use crate::tape::{Tape, Var};

/// √(2/π), of the tanh approximation of GELU.
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
/// The cubic coefficient of the same.
const CUBIC: f32 = 0.044_715;

impl<'g> Tape<'g> {
    /// The activation, element by element.
    pub fn activation(&mut self, x: Var<'g>, kind: Activation) -> Var<'g> {
        match kind {
            Activation::Silu => self.silu(x),
            Activation::Gelu => self.gelu(x),
        }
    }

    /// `x · sigmoid(x)`.
    fn silu(&mut self, x: Var<'g>) -> Var<'g> {
        let g = self.graph;
        let y = g.silu(x.node);
        self.record(y, &[x], move |dy| vec![g.silu_back(dy, x.node)])
    }

    /// `½ x (1 + t)` with `t = tanh(u)`, `u = √(2/π) (x + 0.044715 x³)`.
    ///
    /// `dx = dy · ½ ((1 + t) + x (1 − t²) u')` with `u' = √(2/π) (1 + 3 · 0.044715 x²)`.
    /// ggml's own GELU reads a table of 16-bit floats, which is too coarse for a gradient check.
    fn gelu(&mut self, x: Var<'g>) -> Var<'g> {
        let g = self.graph;
        let t = gelu_tanh(g, x.node);
        let y = g.mul(g.affine(x.node, 0.5, 0.0), g.affine(t, 1.0, 1.0));
        self.record(y, &[x], move |dy| {
            let t = gelu_tanh(g, x.node);
            let du = g.affine(g.sqr(x.node), 3.0 * CUBIC * SQRT_2_OVER_PI, SQRT_2_OVER_PI);
            let slope = g.mul(g.mul(g.affine(g.sqr(t), -1.0, 1.0), x.node), du);
            let derivative = g.affine(g.add(slope, g.affine(t, 1.0, 1.0)), 0.5, 0.0);
            vec![g.mul(dy, derivative)]
        })
    }
}

fn gelu_tanh<'g>(g: &'g Graph, x: Node<'g>) -> Node<'g> {
    let inner = g.affine(g.sqr(x), CUBIC * SQRT_2_OVER_PI, SQRT_2_OVER_PI);
    g.tanh(g.mul(inner, x))
}
