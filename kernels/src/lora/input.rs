//! Wide inputs, with dropout or without, and their product with a narrow matrix.

use std::ops::Range;

use super::shape::LoraShape;
use crate::kernels::Kernels;
use crate::loops::Gemm;

/// Rows of a matrix, `stride` floats apart.
pub(super) struct Rows {
    pub data: *const f32,
    pub stride: usize,
}

impl Kernels {
    /// `x̃` for some tokens and columns: a view of `x`, or a copy with dropout applied.
    ///
    /// # Safety
    /// `x` is `(T, K)` and holds these tokens and columns.
    pub(super) unsafe fn dropped(
        &self,
        shape: &LoraShape,
        x: *const f32,
        tokens: Range<usize>,
        columns: Range<usize>,
        copy: &mut [f32],
    ) -> Rows {
        let (first, n) = (tokens.start * shape.n_in + columns.start, columns.len());
        // SAFETY: rows of `x`, by this function's contract.
        unsafe {
            let Some(dropout) = &shape.dropout else {
                return Rows { data: x.add(first), stride: shape.n_in };
            };
            for (i, to) in copy.chunks_exact_mut(n).take(tokens.len()).enumerate() {
                let row = x.add(first + i * shape.n_in);
                to.copy_from_slice(std::slice::from_raw_parts(row, n));
                self.dropout(dropout, tokens.start + i, columns.start, to);
            }
        }
        Rows { data: copy.as_ptr(), stride: n }
    }

    /// `out[t, j] = scaling Σ_k x[t, k] right[k, j]` for the narrow side `j`.
    ///
    /// # Safety
    /// `x` has `rows` rows of `depth`, `right` `depth` rows, and `out` `rows` rows, both of the
    /// shape's [`LoraShape::row`]; nothing else accesses `out`.
    pub(super) unsafe fn narrow(
        &self,
        x: Rows,
        (rows, depth): (usize, usize),
        right: &[f32],
        shape: &LoraShape,
        out: *mut f32,
    ) {
        let row = shape.row();
        assert!(right.len() == depth * row, "{} of {depth} × {row}", right.len());
        // SAFETY: this function's contract.
        unsafe {
            (self.loops.gemm)(&Gemm {
                rows,
                depth,
                columns: row,
                a: x.data,
                a_row: x.stride,
                a_depth: 1,
                b: right.as_ptr(),
                b_row: row,
                c: out,
                c_row: row,
                add: false,
                factors: None,
            });
            for x in std::slice::from_raw_parts_mut(out, rows * row) {
                *x *= shape.scaling;
            }
        }
    }
}
