//! Panels of `W`, made of its rows or columns: in a thread's scratch for one
//! product, or in the caller's memory for any number of products.
//!
//! Panels in the caller's memory save a product its unpacking, but take more memory than quantized
//! weights: 1.25 bytes per weight and orientation in int8.

use std::ops::Range;

use crate::chunks::chunks;
use crate::kernels::Kernels;
use crate::layout::{
    BLOCK, COLUMNS, PANEL_OFFSETS, PANEL_SCALES, PackedShape, Precision, TILE_COLUMNS,
};
use crate::operand::{QuantBlock, Weights};
use crate::scratch::Scratch;

/// Panels side by side, each `blocks` blocks deep.
pub(crate) struct Panels {
    pub data: *const u8,
    /// Blocks in each panel.
    pub blocks: usize,
    /// The first of these blocks along the axis of the sum.
    pub first_block: usize,
    /// The outputs that the panels hold; the last panel may be partly empty.
    pub columns: Range<usize>,
}

impl Kernels {
    /// Makes the panels of the rows `rows` of `W` for [`Kernels::product_of_panels`] to multiply
    /// with, which then computes [`Kernels::product`].
    ///
    /// | argument | shape    | meaning                                                           |
    /// |----------|----------|-------------------------------------------------------------------|
    /// | `r`      |          | `K`, elements of a row                                            |
    /// | `w`      | `(M, K)` | as for [`Kernels::product`]                                       |
    /// | `rows`   |          | this thread's part of `0..M`, of whole panels: begins at a multiple of [`COLUMNS`], ends at one or at `M` |
    /// | `panels` | `(M, K)` | [`panel_bytes`] bytes, of which those of the panels of `rows` are written, all of them |
    ///
    /// # Safety
    /// `panels` points to `panel_bytes(precision, M, K)` bytes, writable and aligned to 64; nothing
    /// else accesses the panels of these rows during the call.
    ///
    /// # Panics
    /// If `rows` begins within a panel.
    pub unsafe fn make_panels(
        &self,
        precision: Precision,
        r: usize,
        w: &dyn Weights,
        rows: Range<usize>,
        panels: *mut u8,
        scratch: &mut Scratch,
    ) {
        let (row, _) = scratch.split(r, 0);
        let one = panel_bytes(precision, COLUMNS, r);
        // SAFETY: the panels are contiguous, and those of the rows are this call's. All
        // columns of a panel are multiplied with, so those behind the last row get a value.
        unsafe {
            let data = first_panel(panels, &rows, one);
            if !rows.len().is_multiple_of(COLUMNS) {
                data.add(rows.len() / COLUMNS * one).write_bytes(0, one);
            }
            self.fill_rows(precision, w, rows, row, data);
        }
    }

    /// Makes the panels of the columns `columns` of `W` for [`Kernels::product_of_panels`] to
    /// multiply with, which then computes [`Kernels::product_transposed`].
    ///
    /// | argument  | shape    | meaning                                                          |
    /// |-----------|----------|------------------------------------------------------------------|
    /// | `r`       |          | `M`, elements of a column                                        |
    /// | `w`       | `(M, K)` | as for [`Kernels::product_transposed`]                           |
    /// | `columns` |          | this thread's part of `0..K`, of whole panels as for [`Kernels::make_panels`] and of whole blocks of the quantization |
    /// | `panels`  | `(K, M)` | [`panel_bytes`] bytes, of which those of the panels of `columns` are written, all of them |
    ///
    /// # Safety
    /// As for [`Kernels::make_panels`], with `panel_bytes(precision, K, M)` bytes.
    ///
    /// # Panics
    /// If `columns` begins within a panel.
    pub unsafe fn make_panels_transposed(
        &self,
        precision: Precision,
        r: usize,
        w: &dyn Weights,
        columns: Range<usize>,
        panels: *mut u8,
        scratch: &mut Scratch,
    ) {
        let (tile, _) = scratch.split(BLOCK * TILE_COLUMNS, 0);
        // SAFETY: the panels are contiguous, and those of the columns are this call's.
        unsafe {
            let data = first_panel(panels, &columns, panel_bytes(precision, COLUMNS, r));
            self.fill_columns(precision, w, (0..r, columns), tile, data);
        }
    }

    /// Makes panels of the rows `rows` of `W`, each unpacked once; they last until the scratch is
    /// used again.
    pub(crate) fn row_panels(
        &self,
        shape: PackedShape,
        w: &dyn Weights,
        rows: Range<usize>,
        scratch: &mut Scratch,
    ) -> Panels {
        let bytes = panel_bytes(shape.precision, rows.len(), shape.r);
        let (row, data) = scratch.split(shape.r, bytes);
        // SAFETY: `data` has room for the panels of all rows.
        unsafe { self.fill_rows(shape.precision, w, rows.clone(), row, data) };
        Panels { data, blocks: shape.blocks(), first_block: 0, columns: rows }
    }

    /// Makes contiguous panels of whole rows of `W` at `panels`; each row goes through `row`.
    ///
    /// # Safety
    /// `panels` has room for them, is aligned to 64 and not shared.
    unsafe fn fill_rows(
        &self,
        precision: Precision,
        w: &dyn Weights,
        rows: Range<usize>,
        row: &mut [f32],
        panels: *mut u8,
    ) {
        let one = panel_bytes(precision, COLUMNS, row.len());
        for (i, m) in rows.enumerate() {
            // SAFETY: there is room for all panels, and `i` lies in one of them.
            unsafe {
                let panel = panels.add(i / COLUMNS * one);
                if precision == Precision::Int8 && panel_quants(w, m, row, i, panel) {
                    continue;
                }
                w.unpack(m, 0, row);
                self.panel_row(precision, row, i, panel);
            }
        }
    }

    /// Makes contiguous panels of the given rows and columns of `W` at `panels`; 32 rows at a time
    /// go through `tile`.
    ///
    /// # Safety
    /// As for [`Kernels::fill_rows`].
    pub(crate) unsafe fn fill_columns(
        &self,
        precision: Precision,
        w: &dyn Weights,
        (rows, columns): (Range<usize>, Range<usize>),
        tile: &mut [f32],
        panels: *mut u8,
    ) {
        let one = panel_bytes(precision, COLUMNS, rows.len());
        for (i, rows) in chunks(rows, BLOCK).enumerate() {
            let mut panel = panels;
            for columns in chunks(columns.clone(), TILE_COLUMNS) {
                unpack_tile(w, rows.clone(), columns.clone(), tile);
                for start in (0..columns.len()).step_by(COLUMNS) {
                    let part = &tile[start..];
                    // SAFETY: there is room for the panels of all columns.
                    unsafe {
                        self.panel_columns(precision, part, rows.len(), i, panel);
                        panel = panel.add(one);
                    }
                }
            }
        }
    }

    /// Makes column `index % 32` of a panel from a row of `W`.
    ///
    /// # Safety
    /// `panel` has room for every block of the row, is aligned to 64 and not shared.
    unsafe fn panel_row(&self, precision: Precision, row: &[f32], index: usize, panel: *mut u8) {
        if row.is_empty() {
            // No block, so no panel to have an address in.
            return;
        }
        let column = index % COLUMNS;
        // SAFETY: a column's quants, scale and offset are its own words in each block of the panel.
        unsafe {
            let out = panel.add(4 * column);
            match precision {
                Precision::Int8 => (self.micro.quantize_weight_row)(row, out),
                Precision::F32 => {
                    for (r, &value) in row.iter().enumerate() {
                        out.cast::<f32>().add(r * COLUMNS).write(value);
                    }
                }
            }
        }
    }

    /// Makes rows `32 · index ..` of a panel from 32 columns of a tile with `rows` rows.
    ///
    /// # Safety
    /// `panel` has room for those rows, is aligned to 64 and not shared.
    unsafe fn panel_columns(
        &self,
        precision: Precision,
        tile: &[f32],
        rows: usize,
        index: usize,
        panel: *mut u8,
    ) {
        assert!(tile.len() >= (BLOCK - 1) * TILE_COLUMNS + COLUMNS);
        // SAFETY: the tile has 32 rows of 32 columns, as asserted; the panel by contract.
        unsafe {
            match precision {
                Precision::Int8 => {
                    let out = panel.add(index * precision.panel_bytes());
                    (self.micro.quantize_weight_columns)(tile.as_ptr(), TILE_COLUMNS, out);
                }
                Precision::F32 => {
                    let out = panel.cast::<[f32; COLUMNS]>().add(index * BLOCK);
                    for r in 0..rows {
                        out.add(r).write(*tile.as_ptr().add(r * TILE_COLUMNS).cast());
                    }
                }
            }
        }
    }
}

/// Makes column `index % 32` of an int8 panel from the quants of row `m` as they are stored, if they
/// are; `row` is overwritten.
///
/// # Safety
/// As for [`Kernels::panel_row`].
unsafe fn panel_quants(
    w: &dyn Weights,
    m: usize,
    row: &mut [f32],
    index: usize,
    panel: *mut u8,
) -> bool {
    let n_blocks = row.len() / BLOCK;
    let whole = row.len().is_multiple_of(BLOCK);
    // SAFETY: a block is ten words of any value, and takes the place of 32.
    let blocks = unsafe { std::slice::from_raw_parts_mut(row.as_mut_ptr().cast(), n_blocks) };
    if !whole || !w.quants(m, blocks) {
        return false;
    }
    for (i, QuantBlock { quants, scale, offset }) in blocks.iter().enumerate() {
        // SAFETY: a column's quants, scale and offset are its own words in each block of the panel.
        unsafe {
            let out = panel.add(i * Precision::Int8.panel_bytes() + index % COLUMNS * 4);
            for (word, quants) in quants.as_chunks::<4>().0.iter().enumerate() {
                out.add(word * 4 * COLUMNS).cast::<[u8; 4]>().write(*quants);
            }
            out.add(PANEL_SCALES).cast::<f32>().write(*scale);
            out.add(PANEL_OFFSETS).cast::<f32>().write(*offset);
        }
    }
    true
}

/// Bytes of the panels of `n` outputs with `r` elements each along the axis of the sum: of a whole
/// `W` of `(M, K)`, `n = M` and `r = K` for [`Kernels::make_panels`], `n = K` and `r = M` for
/// [`Kernels::make_panels_transposed`].
///
/// `ceil(n / 32) · ceil(r / 32) · 1280` in int8, `ceil(n / 32) · r · 128` in f32.
pub const fn panel_bytes(precision: Precision, n: usize, r: usize) -> usize {
    n.div_ceil(COLUMNS) * r.div_ceil(precision.block()) * precision.panel_bytes()
}

/// Bytes of a panel of whole rows of `W`.
pub(crate) const fn row_panel_bytes(shape: PackedShape) -> usize {
    panel_bytes(shape.precision, COLUMNS, shape.r)
}

/// Where the panels of `outputs` begin, each of `one` bytes.
///
/// # Safety
/// `panels` has all panels up to there.
unsafe fn first_panel(panels: *mut u8, outputs: &Range<usize>, one: usize) -> *mut u8 {
    assert!(outputs.start.is_multiple_of(COLUMNS), "{outputs:?} begin within a panel");
    // SAFETY: by this function's contract.
    unsafe { panels.add(outputs.start / COLUMNS * one) }
}

/// Fills the top left of a tile of 32 rows with a part of `W`; rows beyond the part become zero.
fn unpack_tile(w: &dyn Weights, rows: Range<usize>, columns: Range<usize>, tile: &mut [f32]) {
    let (filled, rest) = tile.split_at_mut(rows.len() * TILE_COLUMNS);
    for (m, row) in rows.zip(filled.chunks_mut(TILE_COLUMNS)) {
        w.unpack(m, columns.start, &mut row[..columns.len()]);
    }
    rest.fill(0.0);
}
