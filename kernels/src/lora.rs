//! The products of a LoRA adapter, `y += B · scaling · A x̃`, and their gradients, in `f32`.
//!
//! `x̃` is the input after dropout, whose mask is applied on the way and never stored. All six
//! products have one narrow side, the rank; it is padded to whole registers ([`LoraShape::row`]).
//!
//! | function                | formula                                | split among threads by |
//! |-------------------------|----------------------------------------|------------------------|
//! | [`Kernels::lora_low`]   | `low[t, j] = scaling Σ_k x̃[t, k] A[j, k]` | tokens              |
//! | [`Kernels::lora_add`]   | `y[t, m] += Σ_j low[t, j] B[m, j]`     | outputs                |
//! | [`Kernels::lora_dlow`]  | `dlow[t, j] = scaling Σ_m dy[t, m] B[m, j]` | tokens            |
//! | [`Kernels::lora_db`]    | `dB[m, j] = Σ_t dy[t, m] low[t, j]`    | outputs                |
//! | [`Kernels::lora_da`]    | `dA[j, k] = Σ_t dlow[t, j] x̃[t, k]`   | inputs                 |
//! | [`Kernels::lora_add_dx`] | `dx[t, k] += mask[t, k] Σ_j dlow[t, j] A[j, k]` | inputs       |
//!
//! How the work is split changes no bit.

use std::ops::Range;

use crate::chunks::chunks;
use crate::kernels::Kernels;
use crate::loops::{Dropout, Gemm, LANES, Matrix};
use crate::scratch::Scratch;

/// Tokens and columns of the input that are copied at a time to apply dropout to them.
const TILE: (usize, usize) = (128, 256);

/// Whole rows that are copied at a time, at least: what the matrix product takes side by side.
const MIN_ROWS: usize = 6;

/// The sizes of an adapter beside one projection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraShape {
    /// `T`
    pub n_tokens: usize,
    /// `K`, elements of the projection's input; a multiple of 16.
    pub n_in: usize,
    /// `M`, elements of its output; a multiple of 16.
    pub n_out: usize,
    /// Rank.
    pub r: usize,
    /// `lora_alpha / r`
    pub scaling: f32,
    /// What is dropped of the input.
    pub dropout: Option<Dropout>,
}

impl LoraShape {
    /// Floats of a row of `low` and `dlow`: the rank rounded up to a multiple of 16. What lies
    /// beyond the rank is written as zero.
    pub fn row(&self) -> usize {
        self.r.next_multiple_of(LANES)
    }

    /// Bytes that any of the products makes a thread's [`Scratch`] grow to.
    pub fn scratch_bytes(&self) -> usize {
        let (row, wide) = (self.row(), self.n_in.max(self.n_out));
        let copies = (TILE.0 * TILE.1).max(self.copied_rows() * self.n_in);
        4 * (wide * row + copies)
    }

    /// Rows of the input that are copied at a time.
    fn copied_rows(&self) -> usize {
        (TILE.0 * TILE.1 / self.n_in / MIN_ROWS * MIN_ROWS).max(MIN_ROWS)
    }

    fn check(&self, split: &Range<usize>, whole: usize) {
        let wide = self.n_in.is_multiple_of(LANES) && self.n_out.is_multiple_of(LANES);
        assert!(wide, "{} inputs and {} outputs", self.n_in, self.n_out);
        assert!(split.start <= split.end && split.end <= whole, "{split:?} of {whole}");
    }
}

impl Kernels {
    /// The adapter's inner activation, of shape `(T, row)`, for `tokens`.
    ///
    /// # Safety
    /// `x` is `(T, K)`, `a` `(r, K)`, `low` `(T, row)`, all contiguous; nothing else accesses
    /// `low` in these tokens or writes to the input meanwhile. The same holds, with the shapes of
    /// the table above, for the other functions of this file.
    ///
    /// # Panics
    /// If a width is not a multiple of 16 or the range leaves the matrix; so do the others.
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

    /// Adds the adapter's output to columns `columns` of `y`; these begin and end at multiples of
    /// 16.
    ///
    /// # Safety
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

    /// The gradient for `low` before its scaling, times `scaling`: what `dA` and `dx` begin with.
    ///
    /// # Safety
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

    /// Rows `rows` of the gradient for B.
    ///
    /// # Safety
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

    /// Columns `columns` of the gradient for A; these begin and end at multiples of 16.
    ///
    /// # Safety
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

    /// Adds the adapter's part of the gradient for the input to columns `columns` of `dx`; these
    /// begin and end at multiples of 16.
    ///
    /// # Safety
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
                    let first = first + i * shape.n_in;
                    self.dropout(dropout, first, part);
                    let dx = std::slice::from_raw_parts_mut(dx.add(first), n);
                    dx.iter_mut().zip(part).for_each(|(dx, part)| *dx += *part);
                }
            }
        }
    }

    /// `x̃` for some tokens and columns: a view of `x`, or a copy with dropout applied.
    ///
    /// # Safety
    /// `x` is `(T, K)` and holds these tokens and columns.
    unsafe fn dropped(
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
                let first = first + i * shape.n_in;
                to.copy_from_slice(std::slice::from_raw_parts(x.add(first), n));
                self.dropout(dropout, first, to);
            }
        }
        Rows { data: copy.as_ptr(), stride: n }
    }

    /// `out[t, j] = scaling Σ_k x[t, k] right[k, j]` for the narrow side `j`.
    ///
    /// # Safety
    /// `x` has `rows` rows of `depth`, `right` `depth` rows, and `out` `rows` rows, both of the
    /// shape's [`LoraShape::row`]; nothing else accesses `out`.
    unsafe fn narrow(
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

/// Rows of a matrix, `stride` floats apart.
struct Rows {
    data: *const f32,
    stride: usize,
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
