//! The loops around the micro-kernels: make panels of a part of `W`, sweep the tokens.
//!
//! Panels are made for as many outputs as fit in a part of a second-level cache and then used for
//! all tokens. The sweep goes, from the outside: pieces of the sum's axis
//! ([`Precision::depth`](crate::Precision)), blocks of tokens whose activations stay in the
//! second-level cache, panels, groups of six tokens.

use std::ops::Range;

use crate::layout::{BLOCK, COLUMNS, GROUP, PackedShape, Precision, TILE_COLUMNS};
use crate::micro::Product;
use crate::panels::{Panels, row_panel_bytes};
use crate::{Kernels, Scratch};

/// Bytes of panels that [`Kernels::product`] makes before the tokens are swept.
pub(crate) const PANEL_BUDGET: usize = 256 * 1024;

/// Panels it makes in any case, so that a pass over the activations serves at least so many.
pub(crate) const MIN_PANELS: usize = 4;

/// Tokens whose activations are used for every panel before the next tokens are.
pub(crate) const TOKEN_BLOCK: usize = 8 * GROUP;

/// Rows of `W` from which [`Kernels::product_transposed`] makes panels before the tokens are swept,
/// a multiple of every [`Precision::depth`], as pieces of the sum begin anew there.
pub(crate) const GROUP_ROWS: usize = 1024;

/// Columns of `W` for which it does, a multiple of [`TILE_COLUMNS`].
pub(crate) const GROUP_COLUMNS: usize = 512;

/// Where a product writes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Element `(0, 0)` of the whole row-major output, not of a thread's part.
    pub data: *mut f32,
    /// Floats from one row (token) to the next.
    pub stride: usize,
    /// Add to what is there instead of overwriting it.
    pub accumulate: bool,
}

/// Packed activations and the shape that they were packed with.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub shape: PackedShape,
    pub data: *const u8,
}

impl Left {
    /// A part of the tokens that begins with a group.
    ///
    /// # Safety
    /// The data holds what the shape says.
    pub(crate) unsafe fn part(self, tokens: Range<usize>) -> Left {
        debug_assert!(tokens.start.is_multiple_of(GROUP) && tokens.end <= self.shape.n_tokens);
        let shape = PackedShape { n_tokens: tokens.len(), ..self.shape };
        // SAFETY: the group lies in the data.
        Left { shape, data: unsafe { self.data.add(self.shape.group_offset(tokens.start)) } }
    }
}

impl Kernels {
    /// Forward product with the rows `rows` of `W`: `y[t, m] = Σ_k x[t, k] w[m, k]`.
    ///
    /// | argument | shape    | meaning                                                        |
    /// |----------|----------|----------------------------------------------------------------|
    /// | `shape`  |          | `T` tokens, `R = K`, as packed                                 |
    /// | `packed` | `(T, K)` | `x`, packed by [`Kernels::pack`]                               |
    /// | `unpack` |          | `unpack(m, row)` writes all `K` elements of row `m` of `W`     |
    /// | `rows`   |          | this thread's rows; multiples of 32 waste no lanes             |
    /// | `y`      | `(T, M)` | columns `rows` are written, the others left alone              |
    ///
    /// Each row of `W` is unpacked once per call. The result does not depend on how the rows are
    /// split among calls. In int8 an element's error is that of rounding the activations to 1/254
    /// of the largest magnitude in their block and the weights to 1/510 of the range of theirs
    /// ([`Precision::Int8`]); in f32 sums of 256 products are added up in order.
    ///
    /// # Safety
    /// - `packed` points to the `shape.bytes()` bytes that [`Kernels::pack`] filled for all
    ///   tokens, is aligned to 4, and nothing writes to it meanwhile.
    /// - For every token `t` and row `m` in `rows`, `y.data + t · y.stride + m` is valid for reads
    ///   and writes, and nothing else accesses it meanwhile.
    pub unsafe fn product(
        &self,
        shape: PackedShape,
        packed: *const u8,
        unpack: &dyn Fn(usize, &mut [f32]),
        rows: Range<usize>,
        y: Output,
        scratch: &mut Scratch,
    ) {
        let left = Left { shape, data: packed };
        let panel_bytes = row_panel_bytes(shape).max(1);
        let n_panels = (PANEL_BUDGET / panel_bytes).max(MIN_PANELS);
        for rows in pieces(rows, n_panels * COLUMNS) {
            let panels = self.row_panels(shape, unpack, rows, scratch);
            // SAFETY: the panels were just made; the rest is this function's contract.
            unsafe { self.sweep(left, &panels, y) };
        }
    }

    /// Product with the columns `columns` of `W`, which takes a gradient back through it:
    /// `dx[t, k] = Σ_m dy[t, m] w[m, k]`.
    ///
    /// | argument  | shape    | meaning                                                         |
    /// |-----------|----------|-----------------------------------------------------------------|
    /// | `shape`   |          | `T` tokens, `R = M`, as packed                                  |
    /// | `packed`  | `(T, M)` | `dy`, packed by [`Kernels::pack`]                               |
    /// | `unpack`  |          | `unpack(m, k, part)` writes elements `k..k + part.len()` of row `m` |
    /// | `columns` |          | this thread's columns                                           |
    /// | `dx`      | `(T, K)` | columns `columns` are written, the others left alone            |
    ///
    /// `unpack` is asked for parts that begin at `columns.start` plus a multiple of
    /// [`TILE_COLUMNS`] and are that long, or reach to `columns.end`: let `columns` begin and end
    /// at multiples of the quantization's block length. Every element is unpacked once per call.
    /// Independence of the split and accuracy as for [`Kernels::product`], but in int8 the weights
    /// too are rounded to 1/254 of the largest magnitude in their block.
    ///
    /// # Safety
    /// As for [`Kernels::product`], with `dx` and `columns` in place of `y` and `rows`.
    pub unsafe fn product_transposed(
        &self,
        shape: PackedShape,
        packed: *const u8,
        unpack: &dyn Fn(usize, usize, &mut [f32]),
        columns: Range<usize>,
        dx: Output,
        scratch: &mut Scratch,
    ) {
        let left = Left { shape, data: packed };
        let block = shape.precision.block();
        for columns in pieces(columns, GROUP_COLUMNS) {
            let mut out = dx;
            for rows in at_least_one(pieces(0..shape.r, GROUP_ROWS)) {
                let blocks = rows.len().div_ceil(block);
                let panel_bytes = blocks * shape.precision.panel_bytes();
                let n_panels = columns.len().div_ceil(COLUMNS);
                let (tile, data) = scratch.split(BLOCK * TILE_COLUMNS, n_panels * panel_bytes);
                let part = (rows.clone(), columns.clone());
                // SAFETY: `data` has room for `n_panels` panels of `blocks` blocks.
                unsafe { self.fill_columns(shape.precision, unpack, part, tile, data) };
                let first_block = rows.start / block;
                let panels = Panels { data, blocks, first_block, columns: columns.clone() };
                // SAFETY: the panels were just made; the rest is this function's contract.
                unsafe { self.sweep(left, &panels, out) };
                out.accumulate = true;
            }
        }
    }

    /// Either product with outputs `outputs`, of panels that were made before.
    ///
    /// | argument  | shape     | meaning                                                         |
    /// |-----------|-----------|-----------------------------------------------------------------|
    /// | `shape`   |           | `T` tokens, `R`, as packed                                      |
    /// | `packed`  | `(T, R)`  | the tokens, packed by [`Kernels::pack`]                         |
    /// | `panels`  | `(N, R)`  | made by [`Kernels::make_panels`] for [`Kernels::product`], by [`Kernels::make_panels_transposed`] for [`Kernels::product_transposed`] |
    /// | `outputs` |           | this thread's part of `0..N`; begins at a multiple of [`COLUMNS`] |
    /// | `y`       | `(T, N)`  | columns `outputs` are written, the others left alone            |
    ///
    /// The result has the same bits as that of the product which makes its panels itself.
    ///
    /// # Safety
    /// - As for [`Kernels::product`], with `outputs` in place of `rows`.
    /// - `panels` is aligned to 64, panels of these outputs were made there in this precision with
    ///   rows or columns of `R` elements, and nothing writes to them meanwhile.
    ///
    /// # Panics
    /// If `outputs` begins within a panel.
    pub unsafe fn product_of_panels(
        &self,
        shape: PackedShape,
        packed: *const u8,
        panels: *const u8,
        outputs: Range<usize>,
        y: Output,
    ) {
        assert!(outputs.start.is_multiple_of(COLUMNS), "{outputs:?} begin within a panel");
        let left = Left { shape, data: packed };
        let blocks = shape.blocks();
        for columns in pieces(outputs, GROUP_COLUMNS) {
            let first = columns.start / COLUMNS;
            // SAFETY: the panels lie one behind the other; the rest is this function's contract.
            unsafe {
                let data = panels.add(first * row_panel_bytes(shape));
                self.sweep(left, &Panels { data, blocks, first_block: 0, columns }, y);
            }
        }
    }

    /// Multiplies all tokens by some panels.
    ///
    /// # Safety
    /// `left` and `panels` hold what they say, in the layout of their precision; `out` as
    /// [`Kernels::product`] demands, for the panels' columns.
    pub(crate) unsafe fn sweep(&self, left: Left, panels: &Panels, out: Output) {
        let shape = left.shape;
        let depth = shape.precision.depth();
        for piece in at_least_one(pieces(0..panels.blocks, depth)) {
            let accumulate = out.accumulate || piece.start > 0;
            for tokens in pieces(0..shape.n_tokens, TOKEN_BLOCK) {
                for (panel, columns) in pieces(panels.columns.clone(), COLUMNS).enumerate() {
                    let block = panel * panels.blocks + piece.start;
                    let out = Output { accumulate, ..out };
                    // SAFETY: the block lies in the panels, the tokens in `left`.
                    unsafe {
                        let panel = panels.data.add(block * shape.precision.panel_bytes());
                        let first = panels.first_block + piece.start;
                        let blocks = first..first + piece.len();
                        self.sweep_panel(left, tokens.clone(), blocks, panel, columns, out);
                    }
                }
            }
        }
    }

    /// Multiplies `tokens`, a whole number of groups, by `blocks` of one panel.
    ///
    /// # Safety
    /// As for [`Kernels::sweep`]; `panel` begins at the first of the blocks.
    unsafe fn sweep_panel(
        &self,
        left: Left,
        tokens: Range<usize>,
        blocks: Range<usize>,
        panel: *const u8,
        columns: Range<usize>,
        out: Output,
    ) {
        let shape = left.shape;
        let products: &[Product; GROUP] = match shape.precision {
            Precision::Int8 => &self.micro.int8,
            Precision::F32 => &self.micro.f32,
        };
        for token in tokens.step_by(GROUP) {
            let n = shape.group_len(token);
            let offset =
                shape.group_offset(token) + blocks.start * n * shape.precision.token_bytes();
            // SAFETY: group and blocks lie in the packed buffer, the output by contract; holding
            // `Kernels` proves the CPU features.
            unsafe {
                let y = out.data.add(token * out.stride + columns.start);
                let left = left.data.add(offset);
                let n_blocks = blocks.len();
                products[n - 1](
                    left,
                    panel,
                    n_blocks,
                    y,
                    out.stride,
                    columns.len(),
                    out.accumulate,
                );
            }
        }
    }
}

/// Bytes of scratch that the larger of both products takes.
pub(crate) const fn scratch_bytes(shape: PackedShape) -> usize {
    let least = MIN_PANELS * row_panel_bytes(shape);
    let forward = 4 * shape.r + if least > PANEL_BUDGET { least } else { PANEL_BUDGET };
    let rows = if shape.r < GROUP_ROWS { shape.r } else { GROUP_ROWS };
    let panels = GROUP_COLUMNS / COLUMNS * row_panel_bytes(PackedShape { r: rows, ..shape });
    let transposed = 4 * BLOCK * TILE_COLUMNS + panels;
    if forward > transposed { forward } else { transposed }
}

/// Cuts a range into pieces of `len`; the last one may be shorter.
pub(crate) fn pieces(
    range: Range<usize>,
    len: usize,
) -> impl Iterator<Item = Range<usize>> + Clone {
    range.clone().step_by(len).map(move |start| start..range.end.min(start + len))
}

/// An empty axis of the sum still has an output to write: zero.
fn at_least_one(
    mut pieces: impl Iterator<Item = Range<usize>>,
) -> impl Iterator<Item = Range<usize>> {
    std::iter::once(pieces.next().unwrap_or(0..0)).chain(pieces)
}
