//! RMS norm.

use crate::graph::Node;
use crate::tape::{Tape, Var};

impl<'g> Tape<'g> {
    /// `y = w · x / r` with `r = √(mean(x²) + eps)` along the fastest dimension.
    ///
    /// With `x̂ = x / r` and `g = w · dy`: `dx = (g − x̂ · mean(g · x̂)) / r`.
    pub fn rms_norm(&mut self, x: Var<'g>, weight: Node<'g>, eps: f32) -> Var<'g> {
        let graph = self.graph;
        let n = x.node.ne()[0] as f32;
        let normed = graph.rms_norm(x.node, eps);
        let y = graph.mul(normed, weight);
        self.record(y, &[x], move |dy| {
            let g = graph.mul(dy, weight);
            let mean = graph.affine(graph.sum_rows(graph.mul(g, normed)), 1.0 / n, 0.0);
            let mean_square = graph.affine(graph.sum_rows(graph.sqr(x.node)), 1.0 / n, eps);
            let numerator = graph.sub(g, graph.mul(normed, mean));
            vec![graph.div(numerator, graph.sqrt(mean_square))]
        })
    }
}
