//! Products with frozen weights.
//!
//! ggml multiplies with a quantized matrix in one orientation only. The other, `dX = Wᵀ dY`, and
//! exact products dequantize some rows of the matrix at a time, with GET_ROWS, which knows nearly
//! every type on every backend. They stay in F32: a gradient is easily smaller than the smallest
//! F16, and backends round the right operand of an F16 product to F16.

use std::ops::Range;

use cutq_kernels::Precision;

use super::Portable;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::gguf::dequantize::Quantized;
use crate::model::weight::Weight;

/// Bytes of the rows that are dequantized at a time, at least.
const CHUNK_BYTES: usize = 16 << 20;

/// Backends load several numbers at a time where rows are whole multiples of this.
const VECTOR: usize = 32;

/// Rows that are dequantized at a time.
fn chunk(weight: &Quantized, bytes: usize) -> usize {
    let rows = bytes / (4 * weight.n_in);
    (rows / VECTOR * VECTOR).max(VECTOR).min(weight.n_out)
}

/// Nodes of a graph for both products with `weight`, at most.
pub(super) fn capacity(weight: &Quantized) -> usize {
    32 + 12 * weight.n_out.div_ceil(chunk(weight, CHUNK_BYTES))
}

impl Portable {
    /// Bytes to dequantize at a time on a device with so much memory: every part of the rows is a sum
    /// over all of dX more, so that few parts are better.
    pub(super) fn chunk_bytes(memory: u64) -> usize {
        (memory / 64).clamp(CHUNK_BYTES as u64, 16 * CHUNK_BYTES as u64) as usize
    }

    fn chunks(self, weight: &Quantized) -> impl Iterator<Item = Range<usize>> {
        let (n, step) = (weight.n_out, chunk(weight, self.chunk_bytes));
        (0..n).step_by(step).map(move |first| first..(first + step).min(n))
    }

    /// `y[m, t] = Σ_k W[k, m] x[k, t]`.
    pub(super) fn product<'g>(self, g: &'g Graph, weight: &'g Weight, x: Node<'g>) -> Node<'g> {
        let matrix = g.leaf(&weight.tensor);
        match self.precision {
            Precision::Int8 => g.mul_mat(matrix, x),
            Precision::F32 => {
                let part = |rows| g.mul_mat(dequantized(g, matrix, rows), x);
                g.concat(self.chunks(&weight.data).map(part).collect(), 0)
            }
        }
    }

    /// `dx[k, t] = Σ_m W[k, m] dy[m, t]`.
    pub(super) fn product_transposed<'g>(
        self,
        g: &'g Graph,
        weight: &'g Weight,
        dy: Node<'g>,
    ) -> Node<'g> {
        let matrix = g.leaf(&weight.tensor);
        let part = |rows: Range<usize>| {
            let dy = match rows.len() == weight.data.n_out {
                true => dy,
                false => g.columns(dy, rows.start, rows.len()),
            };
            // Metal's loads must not begin in the middle of a vector, as rows of a view would.
            let dy = if g.is_aligned(dy) { dy } else { g.cont_2d(dy, rows.len()) };
            self.mul_transposed(g, dequantized(g, matrix, rows), dy)
        };
        let sum = self.chunks(&weight.data).map(part).reduce(|sum, part| g.add(sum, part));
        sum.expect("a matrix has rows")
    }
}

/// Rows of a weight in F32; products with the same rows of other weights share the row numbers.
fn dequantized<'g>(g: &'g Graph, matrix: Node<'g>, rows: Range<usize>) -> Node<'g> {
    let index = g.shared(("row numbers", [rows.start, rows.end]), || {
        g.input([rows.len(), 1], rows.clone().map(|row| row as i32).collect())
    });
    g.rows(matrix, index)
}
