//! Products with frozen weights composed of portable operations.
//!
//! ggml multiplies with a quantized matrix in one orientation only. The other, `dX = Wᵀ dY`, and
//! exact products dequantize a piece of the matrix at a time, with GET_ROWS, which knows nearly
//! every type on every backend. Pieces stay in F32: a gradient is easily smaller than the smallest
//! F16, and backends round the right operand of an F16 product to F16.

use std::ops::Range;

use cutq_kernels::Precision;

use crate::ggml::graph::{Graph, Node};
use crate::gguf::dequantize::Quantized;
use crate::ops::kernels::product::{Frozen, Products};

/// Bytes of a dequantized piece.
const PIECE_BYTES: usize = 16 << 20;

/// Backends load several numbers at a time where rows are whole multiples of so many.
const VECTOR: usize = 32;

/// Rows of a piece.
fn piece(weight: &Quantized) -> usize {
    let rows = PIECE_BYTES / (4 * weight.n_in);
    (rows / VECTOR * VECTOR).max(VECTOR).min(weight.n_out)
}

/// Nodes of a graph for both products with `weight`, at most.
pub(crate) fn capacity(weight: &Quantized) -> usize {
    32 + 12 * weight.n_out.div_ceil(piece(weight))
}

impl<'g> Frozen<'g> {
    /// `y[m, t] = Σ_k W[k, m] x[k, t]`.
    pub(crate) fn composed(&self, g: &'g Graph, x: Node<'g>, precision: Precision) -> Node<'g> {
        let weight = g.leaf(&self.weight.tensor);
        match precision {
            Precision::Int8 => g.mul_mat(weight, x),
            Precision::F32 => {
                let part = |rows| g.mul_mat(self.products.dequantized(weight, rows), x);
                g.concat(self.pieces().map(part).collect(), 0)
            }
        }
    }

    /// `dx[k, t] = Σ_m W[k, m] dy[m, t]`.
    pub(crate) fn composed_transposed(&self, g: &'g Graph, dy: Node<'g>) -> Node<'g> {
        let weight = g.leaf(&self.weight.tensor);
        let part = |rows: Range<usize>| {
            let dy = match rows.len() == self.weight.data.n_out {
                true => dy,
                false => g.columns(dy, rows.start, rows.len()),
            };
            // Metal's loads must not begin in the middle of a vector, as rows of a view would.
            let dy = if g.is_aligned(dy) { dy } else { g.cont_2d(dy, rows.len()) };
            g.mul_mat(g.transpose(self.products.dequantized(weight, rows)), dy)
        };
        let sum = self.pieces().map(part).reduce(|sum, part| g.add(sum, part));
        sum.expect("a matrix has rows")
    }

    fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        let (n, step) = (self.weight.data.n_out, piece(&self.weight.data));
        (0..n).step_by(step).map(move |first| first..(first + step).min(n))
    }
}

impl<'g> Products<'g> {
    /// Rows of a weight in F32.
    fn dequantized(&self, weight: Node<'g>, rows: Range<usize>) -> Node<'g> {
        let mut indices = self.indices.borrow_mut();
        let index = *indices.entry((rows.start, rows.end)).or_insert_with(|| {
            let all = rows.clone().map(|row| row as i32).collect();
            self.graph.input([rows.len(), 1], all)
        });
        self.graph.rows(weight, index)
    }
}
