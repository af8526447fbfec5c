//! Sums and products, element by element.

use crate::ggml::node::Node;
use crate::ops::tape::{Tape, Var};

impl<'g> Tape<'g> {
    /// `a + b`, of equal shape.
    pub fn add(&mut self, a: Var<'g>, b: Var<'g>) -> Var<'g> {
        assert_eq!(a.node.ne(), b.node.ne());
        let y = self.graph.add(a.node, b.node);
        self.record(y, &[a, b], |dy| vec![dy, dy])
    }

    /// `a + b`, with `b` a constant that is repeated for every token.
    pub fn add_bias(&mut self, a: Var<'g>, b: Node<'g>) -> Var<'g> {
        let y = self.graph.add(a.node, b);
        self.record(y, &[a], |dy| vec![dy])
    }

    /// `a · s`; `a` itself where s is 1.
    pub fn scale(&mut self, a: Var<'g>, s: f32) -> Var<'g> {
        if s == 1.0 {
            return a;
        }
        let g = self.graph;
        let y = g.affine(a.node, s, 0.0);
        self.record(y, &[a], move |dy| vec![g.affine(dy, s, 0.0)])
    }

    /// `a · b`, with `b` a constant that is repeated to the shape of `a`.
    pub fn mul_constant(&mut self, a: Var<'g>, b: Node<'g>) -> Var<'g> {
        let g = self.graph;
        let y = g.mul(a.node, b);
        self.record(y, &[a], move |dy| vec![g.mul(dy, b)])
    }

    /// The rows of `a`, of shape (Σ widths, T), in parts of these widths.
    pub fn split<const N: usize>(&mut self, a: Var<'g>, widths: [usize; N]) -> [Var<'g>; N] {
        let g = self.graph;
        assert_eq!(a.node.ne()[0], widths.iter().sum::<usize>());
        let mut start = 0;
        let parts = widths.map(|width| {
            let part = g.cont_2d(g.columns(a.node, start, width), width);
            start += width;
            part
        });
        self.record_many(parts, &[a], move |dparts| {
            let rows = |(part, width): (&Node<'g>, usize)| {
                let n_tokens = part.ne().iter().product::<usize>() / width;
                g.reshape(*part, [width, n_tokens, 1])
            };
            vec![g.concat(dparts.iter().zip(widths).map(rows).collect(), 0)]
        })
    }

    /// `a` in another shape.
    pub fn reshape(&mut self, a: Var<'g>, ne: [usize; 3]) -> Var<'g> {
        let g = self.graph;
        let [n0, n1, n2, _] = a.node.ne();
        let y = g.reshape(a.node, ne);
        self.record(y, &[a], move |dy| vec![g.reshape(dy, [n0, n1, n2])])
    }
}
