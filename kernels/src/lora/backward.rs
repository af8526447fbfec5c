//! The gradients of the adapter's matrices and of its input.

use std::ops::Range;

use super::input::Rows;
use super::shape::{LoraShape, TILE};
use crate::chunks::chunks;
use crate::kernels::Kernels;
use crate::loops::Gemm;
use crate::scratch::Scratch;

impl Kernels {
    /// The gradient of `low`, already scaled, `dlow[t, j] = scaling Σ_m dy[t, m] B[m, j]`, for
    /// `tokens`: what `dA` and `dx` begin with.
    ///
    /// # Safety
    /// As for [`Kernels::lora_low`].
    ///
    /// # Panics
    /// As for [`Kernels::lora_low`].
    pub unsafe fn lora_dlow(
        &self,
        shape: &LoraShape,
        dy: *const f32,
        b: *const f32,
        tokens: Range<usize>,
        dlow: *mut f32,
        scratch: &mut Scratch,
    ) {
        shape.check(&tokens, shape.n_tokens);
        let (row, n, r) = (shape.row(), shape.n_out, shape.r);
        let (right, _) = scratch.floats(n * row, 0);
        right.fill(0.0);
        // SAFETY: the buffer has `n` rows of `row`; the rest is this function's contract.
        unsafe {
            for (i, to) in right.chunks_exact_mut(row).enumerate() {
                to.as_mut_ptr().copy_from_nonoverlapping(b.add(i * r), r);
            }
            let dy = Rows { data: dy.add(tokens.start * n), stride: n };
            let out = dlow.add(tokens.start * row);
            self.narrow(dy, (tokens.len(), n), right, shape, out);
        }
    }

    /// Rows `rows` of the gradient of B, `dB[m, j] = Σ_t dy[t, m] low[t, j]`.
    ///
    /// # Safety
    /// As for [`Kernels::lora_low`].
    ///
    /// # Panics
    /// As for [`Kernels::lora_low`].
    pub unsafe fn lora_db(
        &self,
        shape: &LoraShape,
        dy: *const f32,
        low: *const f32,
        rows: Range<usize>,
        db: *mut f32,
        scratch: &mut Scratch,
    ) {
        shape.check(&rows, shape.n_out);
        let (row, r) = (shape.row(), shape.r);
        let (out, _) = scratch.floats(rows.len() * row, 0);
        // SAFETY: the buffer has as many rows of `row`; the rest is this function's contract.
        unsafe {
            (self.loops.gemm)(&Gemm {
                rows: rows.len(),
                depth: shape.n_tokens,
                columns: row,
                a: dy.add(rows.start),
                a_row: 1,
                a_depth: shape.n_out,
                b: low,
                b_row: row,
                c: out.as_mut_ptr(),
                c_row: row,
                add: false,
                factors: None,
            });
            for (m, from) in rows.zip(out.chunks_exact(row)) {
                db.add(m * r).copy_from_nonoverlapping(from.as_ptr(), r);
            }
        }
    }

    /// Columns `columns` of the gradient of A, `dA[j, k] = Σ_t dlow[t, j] x̃[t, k]`, which begin
    /// and end at multiples of 16.
    ///
    /// # Safety
    /// As for [`Kernels::lora_low`].
    ///
    /// # Panics
    /// As for [`Kernels::lora_low`].
    pub unsafe fn lora_da(
        &self,
        shape: &LoraShape,
        dlow: *const f32,
        x: *const f32,
        columns: Range<usize>,
        da: *mut f32,
        scratch: &mut Scratch,
    ) {
        shape.check(&columns, shape.n_in);
        let (row, copy) = (shape.row(), scratch.floats(0, TILE.0 * TILE.1).1);
        for (tokens, columns) in tiles(shape.n_tokens, columns) {
            // SAFETY: parts of the matrices, by this function's contract.
            unsafe {
                let x = self.dropped(shape, x, tokens.clone(), columns.clone(), copy);
                (self.loops.gemm)(&Gemm {
                    rows: shape.r,
                    depth: tokens.len(),
                    columns: columns.len(),
                    a: dlow.add(tokens.start * row),
                    a_row: 1,
                    a_depth: row,
                    b: x.data,
                    b_row: x.stride,
                    c: da.add(columns.start),
                    c_row: shape.n_in,
                    add: tokens.start > 0,
                    factors: None,
                });
            }
        }
    }

    /// Adds the adapter's part of the input's gradient,
    /// `dx[t, k] += mask[t, k] Σ_j dlow[t, j] A[j, k]`, to columns `columns` of `dx`, which begin
    /// and end at multiples of 16.
    ///
    /// # Safety
    /// As for [`Kernels::lora_low`].
    ///
    /// # Panics
    /// As for [`Kernels::lora_low`].
    pub unsafe fn lora_add_dx(
        &self,
        shape: &LoraShape,
        dlow: *const f32,
        a: *const f32,
        columns: Range<usize>,
        dx: *mut f32,
        scratch: &mut Scratch,
    ) {
        shape.check(&columns, shape.n_in);
        let copy = scratch.floats(0, TILE.0 * TILE.1).1;
        for (tokens, columns) in tiles(shape.n_tokens, columns) {
            let first = tokens.start * shape.n_in + columns.start;
            // SAFETY: parts of the matrices, by this function's contract.
            unsafe {
                let product = Gemm {
                    rows: tokens.len(),
                    depth: shape.r,
                    columns: columns.len(),
                    a: dlow.add(tokens.start * shape.row()),
                    a_row: shape.row(),
                    a_depth: 1,
                    b: a.add(columns.start),
                    b_row: shape.n_in,
                    c: dx.add(first),
                    c_row: shape.n_in,
                    add: true,
                    factors: None,
                };
                let Some(dropout) = &shape.dropout else {
                    (self.loops.gemm)(&product);
                    continue;
                };
                let (c, n) = (copy.as_mut_ptr(), columns.len());
                (self.loops.gemm)(&Gemm { c, c_row: n, add: false, ..product });
                for (i, part) in copy.chunks_exact_mut(n).take(tokens.len()).enumerate() {
                    self.dropout(dropout, tokens.start + i, columns.start, part);
                    let dx = std::slice::from_raw_parts_mut(dx.add(first + i * shape.n_in), n);
                    dx.iter_mut().zip(part).for_each(|(dx, part)| *dx += *part);
                }
            }
        }
    }
}

/// Tiles of at most [`TILE`]: strips of columns, and in each of them all tokens. Sums over tokens
/// go tile by tile, whatever the range of columns.
fn tiles(
    n_tokens: usize,
    columns: Range<usize>,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    chunks(columns, TILE.1).flat_map(move |columns| {
        chunks(0..n_tokens, TILE.0).map(move |tokens| (tokens, columns.clone()))
    })
}
