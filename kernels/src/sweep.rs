//! The loops around the micro-kernels: all tokens by some panels.
//!
//! From the outside: parts of the axis of the sum, [`Precision::depth`] deep; strips of tokens
//! whose activations stay in the second-level cache; panels; groups of six tokens.

use std::ops::Range;

use crate::chunks::{at_least_one, chunks};
use crate::kernels::Kernels;
use crate::layout::{COLUMNS, GROUP, Precision};
use crate::micro::GroupProduct;
use crate::operand::{Output, Packed};
use crate::panels::Panels;

/// Tokens whose activations are used for every panel before the next tokens are.
pub(crate) const TOKEN_STRIP: usize = 8 * GROUP;

impl Kernels {
    /// Multiplies all tokens by some panels.
    ///
    /// # Safety
    /// `left` and `panels` hold what they say, in the layout of their precision; `out` as
    /// [`Kernels::product`] requires, for the panels' columns.
    pub(crate) unsafe fn sweep(&self, left: Packed, panels: &Panels, out: Output) {
        let shape = left.shape;
        let depth = shape.precision.depth();
        for part in at_least_one(chunks(0..panels.blocks, depth)) {
            let accumulate = out.accumulate || part.start > 0;
            for tokens in chunks(0..shape.n_tokens, TOKEN_STRIP) {
                for (panel, columns) in chunks(panels.columns.clone(), COLUMNS).enumerate() {
                    let block = panel * panels.blocks + part.start;
                    let out = Output { accumulate, ..out };
                    // SAFETY: the block lies in the panels, the tokens in `left`.
                    unsafe {
                        let panel = panels.data.add(block * shape.precision.panel_bytes());
                        let first = panels.first_block + part.start;
                        let blocks = first..first + part.len();
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
        left: Packed,
        tokens: Range<usize>,
        blocks: Range<usize>,
        panel: *const u8,
        columns: Range<usize>,
        out: Output,
    ) {
        let shape = left.shape;
        let products: &[GroupProduct; GROUP] = match shape.precision {
            // SAFETY: the blocks lie in the panel; holding `Kernels` proves the CPU features.
            Precision::Int8 => unsafe { self.micro.int8_of(panel, blocks.len()) },
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
