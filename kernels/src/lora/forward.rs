//! The adapter's output.

use std::ops::Range;

use super::shape::LoraShape;
use crate::chunks::chunks;
use crate::kernels::Kernels;
use crate::loops::{Gemm, Matrix};
use crate::scratch::Scratch;

impl Kernels {
    /// The adapter's inner activation, `low[t, j] = scaling Σ_k x̃[t, k] A[j, k]`, for `tokens`.
    ///
    /// # Safety
    /// - The tensors have the shapes that [`LoraShape`] states.
    /// - During the call nothing else accesses the part of the output that the range names, and
    ///   nothing writes to the inputs.
    ///
    /// # Panics
    /// If `K` or `M` is not a multiple of 16, or the range leaves the matrix.
    pub unsafe fn lora_low(
        &self,
        shape: &LoraShape,
        x: *const f32,
        a: *const f32,
        tokens: Range<usize>,
        low: *mut f32,
        scratch: &mut Scratch,
    ) {
        shape.check(&tokens, shape.n_tokens);
        let (row, n) = (shape.row(), shape.n_in);
        let step = shape.copied_rows();
        let (right, copy) = scratch.floats(n * row, step * n);
        right.fill(0.0);
        // SAFETY: the buffers have these sizes; the rest is this function's contract.
        unsafe {
            let from = Matrix { data: a.cast_mut(), row: n };
            (self.loops.transpose)(from, Matrix { data: right.as_mut_ptr(), row }, (shape.r, n));
            for tokens in chunks(tokens, step) {
                let x = self.dropped(shape, x, tokens.clone(), 0..n, copy);
                let out = low.add(tokens.start * row);
                self.narrow(x, (tokens.len(), n), right, shape, out);
            }
        }
    }

    /// Adds the adapter's output, `y[t, m] += Σ_j low[t, j] B[m, j]`, to columns `columns` of `y`,
    /// which begin and end at multiples of 16.
    ///
    /// # Safety
    /// As for [`Kernels::lora_low`].
    ///
    /// # Panics
    /// As for [`Kernels::lora_low`].
    pub unsafe fn lora_add(
        &self,
        shape: &LoraShape,
        low: *const f32,
        b: *const f32,
        columns: Range<usize>,
        y: *mut f32,
        scratch: &mut Scratch,
    ) {
        shape.check(&columns, shape.n_out);
        let (n, r) = (columns.len(), shape.r);
        let (right, _) = scratch.floats(r * n, 0);
        // SAFETY: the buffer has `r` rows of `n`; the rest is this function's contract.
        unsafe {
            let from = Matrix { data: b.add(columns.start * r).cast_mut(), row: r };
            (self.loops.transpose)(from, Matrix { data: right.as_mut_ptr(), row: n }, (n, r));
            (self.loops.gemm)(&Gemm {
                rows: shape.n_tokens,
                depth: r,
                columns: n,
                a: low,
                a_row: shape.row(),
                a_depth: 1,
                b: right.as_ptr(),
                b_row: n,
                c: y.add(columns.start),
                c_row: shape.n_out,
                add: true,
                factors: None,
            });
        }
    }
}
