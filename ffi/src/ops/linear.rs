//! A frozen projection with its LoRA adapter.

use crate::frozen::Frozen;
use crate::graph::Node;
use crate::tape::{Tape, Var};

/// The trainable pair beside a frozen weight.
#[derive(Clone, Copy)]
pub(crate) struct Lora<'g> {
    /// A, of shape ne = (in, r).
    pub a: Var<'g>,
    /// B, of shape ne = (r, out).
    pub b: Var<'g>,
    /// `lora_alpha / r`.
    pub scaling: f32,
    /// What the adapter's input is multiplied with: 0 or 1/(1 − p) for each element.
    pub dropout: Option<Node<'g>>,
}

impl<'g> Tape<'g> {
    /// `y = W x`, with W frozen: `dx = Wᵀ dy`.
    pub fn frozen(&mut self, x: Var<'g>, weight: &Frozen<'g>) -> Var<'g> {
        let (g, weight) = (self.graph, weight.clone());
        let y = weight.product(g, x.node);
        self.record(y, &[x], move |dy| vec![weight.product_transposed(g, dy)])
    }

    /// `y = W x + scaling · B A dropout(x)`.
    ///
    /// `dB = scaling · dy (A x)ᵀ`, `d(Ax) = scaling · Bᵀ dy`, `dA = d(Ax) xᵀ`, `dx = Wᵀ dy + Aᵀ d(Ax)`.
    pub fn linear(&mut self, x: Var<'g>, weight: &Frozen<'g>, lora: Option<Lora<'g>>) -> Var<'g> {
        let y = self.frozen(x, weight);
        let Some(lora) = lora else { return y };
        let g = self.graph;
        let input = match lora.dropout {
            Some(mask) => {
                let dropped = g.mul(x.node, mask);
                self.record(dropped, &[x], move |dy| vec![g.mul(dy, mask)])
            }
            None => x,
        };
        let low = self.matrix_product(lora.a, input);
        let low = self.scale(low, lora.scaling);
        let delta = self.matrix_product(lora.b, low);
        self.add(y, delta)
    }

    /// `y = M x` for a trainable M of shape ne = (in, out): `dM = dy xᵀ`, `dx = Mᵀ dy`.
    fn matrix_product(&mut self, m: Var<'g>, x: Var<'g>) -> Var<'g> {
        let g = self.graph;
        let y = g.mul_mat(m.node, x.node);
        self.record(y, &[m, x], move |dy| {
            let dm = g.mul_mat(g.transpose(x.node), g.transpose(dy));
            vec![dm, g.mul_mat(g.transpose(m.node), dy)]
        })
    }

    /// `y = factor · x`.
    fn scale(&mut self, x: Var<'g>, factor: f32) -> Var<'g> {
        let g = self.graph;
        let y = g.affine(x.node, factor, 0.0);
        self.record(y, &[x], move |dy| vec![g.affine(dy, factor, 0.0)])
    }
}
