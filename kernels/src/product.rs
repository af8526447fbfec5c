//! Both products with a quantized matrix, in chunks of its rows or columns.
//!
//! Panels are made for as many outputs as fit in a part of a second-level cache and then used for
//! all tokens (`sweep.rs`).

use std::ops::Range;

use crate::chunks::{at_least_one, chunks};
use crate::kernels::Kernels;
use crate::layout::{BLOCK, COLUMNS, PackedShape, TILE_COLUMNS};
use crate::operand::{Output, Packed, Weights};
use crate::panels::{Panels, row_panel_bytes};
use crate::scratch::Scratch;

/// Bytes of panels that [`Kernels::product`] makes before the tokens are swept.
pub(crate) const PANEL_BUDGET: usize = 256 * 1024;

/// Panels it makes in any case, so that a pass over the activations serves several.
pub(crate) const MIN_PANELS: usize = 4;

/// Rows of `W` from which [`Kernels::product_transposed`] makes panels before the tokens are swept,
/// a multiple of every [`Precision::depth`](crate::Precision), as parts of the sum begin there.
pub(crate) const GROUP_ROWS: usize = 1024;

/// Columns of `W` for which it does, a multiple of [`TILE_COLUMNS`].
pub(crate) const GROUP_COLUMNS: usize = 512;

impl Kernels {
    /// Forward product with the rows `rows` of `W`: `y[t, m] = Σ_k x[t, k] w[m, k]`.
    ///
    /// | argument | shape    | meaning                                                        |
    /// |----------|----------|----------------------------------------------------------------|
    /// | `x`      | `(T, K)` | packed, `R = K`                                                |
    /// | `w`      | `(M, K)` | unpacked by whole rows                                         |
    /// | `rows`   |          | this thread's rows; multiples of 32 waste no lanes             |
    /// | `y`      | `(T, M)` | columns `rows` are written, the others left alone              |
    ///
    /// Each row of `W` is unpacked once per call. The result does not depend on how the rows are
    /// split among calls. In int8 an element's error is that of rounding the activations to 1/254
    /// of the largest magnitude in their block, and that of rounding the weights to 1/510 of the
    /// range of theirs ([`Precision::Int8`](crate::Precision)) where they have no [`Weights::quants`];
    /// in f32 sums of 256 products are added up in order.
    ///
    /// # Safety
    /// - `x.data` points to the `x.shape.bytes()` bytes that [`Kernels::pack`] filled for all
    ///   tokens, is aligned to 4, and nothing writes to it during the call.
    /// - For every token `t` and row `m` in `rows`, `y.data + t · y.stride + m` is valid for reads
    ///   and writes, and nothing else accesses it during the call.
    pub unsafe fn product(
        &self,
        x: Packed,
        w: &dyn Weights,
        rows: Range<usize>,
        y: Output,
        scratch: &mut Scratch,
    ) {
        let panel_bytes = row_panel_bytes(x.shape).max(1);
        let n_panels = (PANEL_BUDGET / panel_bytes).max(MIN_PANELS);
        for rows in chunks(rows, n_panels * COLUMNS) {
            let panels = self.row_panels(x.shape, w, rows, scratch);
            // SAFETY: the panels were just made; the rest is this function's contract.
            unsafe { self.sweep(x, &panels, y) };
        }
    }

    /// Product with the columns `columns` of `W`, which takes a gradient back through it:
    /// `dx[t, k] = Σ_m dy[t, m] w[m, k]`.
    ///
    /// | argument  | shape    | meaning                                           |
    /// |-----------|----------|---------------------------------------------------|
    /// | `dy`      | `(T, M)` | packed, `R = M`                                   |
    /// | `w`       | `(M, K)` | unpacked by parts of rows                         |
    /// | `columns` |          | this thread's columns                             |
    /// | `dx`      | `(T, K)` | columns `columns` are written, the others left alone |
    ///
    /// `W` is unpacked in parts that begin at `columns.start` plus a multiple of
    /// [`TILE_COLUMNS`] and are that long, or reach to `columns.end`: let `columns` begin and end
    /// at multiples of the quantization's block length. Every element is unpacked once per call.
    /// Independence of the split and accuracy as for [`Kernels::product`], but in int8 the weights
    /// are rounded to 1/126 of the largest magnitude in their block.
    ///
    /// # Safety
    /// As for [`Kernels::product`], with `dy`, `dx` and `columns` in place of `x`, `y` and `rows`.
    pub unsafe fn product_transposed(
        &self,
        dy: Packed,
        w: &dyn Weights,
        columns: Range<usize>,
        dx: Output,
        scratch: &mut Scratch,
    ) {
        let shape = dy.shape;
        let block = shape.precision.block();
        for columns in chunks(columns, GROUP_COLUMNS) {
            let mut out = dx;
            for rows in at_least_one(chunks(0..shape.r, GROUP_ROWS)) {
                let blocks = rows.len().div_ceil(block);
                let panel_bytes = blocks * shape.precision.panel_bytes();
                let n_panels = columns.len().div_ceil(COLUMNS);
                let (tile, data) = scratch.split(BLOCK * TILE_COLUMNS, n_panels * panel_bytes);
                let part = (rows.clone(), columns.clone());
                // SAFETY: `data` has room for `n_panels` panels of `blocks` blocks.
                unsafe { self.fill_columns(shape.precision, w, part, tile, data) };
                let first_block = rows.start / block;
                let panels = Panels { data, blocks, first_block, columns: columns.clone() };
                // SAFETY: the panels were just made; the rest is this function's contract.
                unsafe { self.sweep(dy, &panels, out) };
                out.accumulate = true;
            }
        }
    }

    /// Either product with outputs `outputs`, of panels that were made before.
    ///
    /// | argument  | shape    | meaning                                                          |
    /// |-----------|----------|------------------------------------------------------------------|
    /// | `x`       | `(T, R)` | packed                                                           |
    /// | `panels`  | `(N, R)` | made by [`Kernels::make_panels`] for [`Kernels::product`], by [`Kernels::make_panels_transposed`] for [`Kernels::product_transposed`] |
    /// | `outputs` |          | this thread's part of `0..N`; begins at a multiple of [`COLUMNS`] |
    /// | `y`       | `(T, N)` | columns `outputs` are written, the others left alone             |
    ///
    /// The result has the same bits as that of the product which makes its panels itself.
    ///
    /// # Safety
    /// - As for [`Kernels::product`], with `outputs` in place of `rows`.
    /// - `panels` is aligned to 64, panels of these outputs were made there in this precision with
    ///   rows or columns of `R` elements, and nothing writes to them during the call.
    ///
    /// # Panics
    /// If `outputs` begins within a panel.
    pub unsafe fn product_of_panels(
        &self,
        x: Packed,
        panels: *const u8,
        outputs: Range<usize>,
        y: Output,
    ) {
        assert!(outputs.start.is_multiple_of(COLUMNS), "{outputs:?} begin within a panel");
        let (blocks, panel_bytes) = (x.shape.blocks(), row_panel_bytes(x.shape));
        for columns in chunks(outputs, GROUP_COLUMNS) {
            let first = columns.start / COLUMNS;
            // SAFETY: the panels are contiguous; the rest is this function's contract.
            unsafe {
                let data = panels.add(first * panel_bytes);
                self.sweep(x, &Panels { data, blocks, first_block: 0, columns }, y);
            }
        }
    }
}

impl PackedShape {
    /// Bytes that either product with `R` inputs makes a thread's [`Scratch`] grow to.
    pub const fn scratch_bytes(self) -> usize {
        let least = MIN_PANELS * row_panel_bytes(self);
        let forward = 4 * self.r + if least > PANEL_BUDGET { least } else { PANEL_BUDGET };
        let rows = if self.r < GROUP_ROWS { self.r } else { GROUP_ROWS };
        let panels = GROUP_COLUMNS / COLUMNS * row_panel_bytes(PackedShape { r: rows, ..self });
        let transposed = 4 * BLOCK * TILE_COLUMNS + panels;
        if forward > transposed { forward } else { transposed }
    }
}
