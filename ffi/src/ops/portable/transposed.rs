//! Products of which an operand lies the other way round than ggml's MUL_MAT wants it.
//!
//! CUDA's OUT_PROD is cuBLAS's product, which reads operands either way. Other devices have a plain
//! loop for it, or nothing: they multiply copies.

use super::Portable;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;

impl Portable {
    /// `out[i, j] = Σ_t a[i, t] · b[j, t]`, batched as [`Graph::mul_mat`] is.
    pub(super) fn sum_of_outer<'g>(self, g: &'g Graph, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        match self.out_prod {
            true => g.out_prod(a, b),
            false => g.mul_mat(g.transpose(a), g.transpose(b)),
        }
    }

    /// `out[k, t] = Σ_m a[k, m] · b[m, t]`, batched as [`Graph::mul_mat`] is.
    pub(super) fn mul_transposed<'g>(self, g: &'g Graph, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        // ggml takes the transpose of a row for a column without gaps, whose stride is too short.
        let readable = b.ne()[0] > 1;
        match self.out_prod && readable {
            true => g.out_prod(a, g.transposed(b)),
            false => g.mul_mat(g.transpose(a), b),
        }
    }
}
