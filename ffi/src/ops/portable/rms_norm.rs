//! RMS norm: [`Lowering::rms_norm`](crate::ops::lowering::Lowering).

use crate::ggml::node::Node;
use crate::ops::tape::{Tape, Var};

pub(super) fn rms_norm<'g>(tape: &mut Tape<'g>, x: Var<'g>, weight: Node<'g>, eps: f32) -> Var<'g> {
    let graph = tape.graph;
    let n = x.node.ne()[0] as f32;
    let normed = graph.normalize(x.node, eps);
    let y = graph.mul(normed, weight);
    tape.record(y, &[x], move |dy| {
        let g = graph.mul(dy, weight);
        let mean = graph.affine(graph.sum_rows(graph.mul(g, normed)), 1.0 / n, 0.0);
        let mean_square = graph.affine(graph.sum_rows(graph.sqr(x.node)), 1.0 / n, eps);
        let numerator = graph.sub(g, graph.mul(normed, mean));
        vec![graph.div(numerator, graph.sqrt(mean_square))]
    })
}
