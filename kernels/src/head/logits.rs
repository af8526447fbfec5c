//! The logits of a few rows of the vocabulary at a time.

use std::ops::Range;

use super::input::HeadInput;
use crate::chunks::chunks;
use crate::kernels::Kernels;
use crate::operand::Output;
use crate::panels::Panels;
use crate::scratch::Scratch;
use crate::sweep::TOKEN_STRIP;

/// What is done with a token's logits of some rows of `W`.
type Take<'a> = dyn FnMut(usize, Range<usize>, &mut [f32]) + 'a;

impl Kernels {
    /// Calls `take` for every token and every chunk of the rows `rows` of `W`.
    ///
    /// # Safety
    /// The packed activations are as [`Kernels::product`] requires.
    pub(super) unsafe fn head_logits(
        &self,
        input: HeadInput<'_>,
        rows: Range<usize>,
        scratch: &mut Scratch,
        take: &mut Take<'_>,
    ) {
        let (shape, left) = (input.shape, input.activations());
        for rows in chunks(rows, shape.rows()) {
            let n = rows.len();
            let panels = self.row_panels(left.shape, input.weights, rows.clone(), scratch);
            let panels = Panels { columns: 0..n, ..panels };
            for tokens in chunks(0..shape.n_tokens, TOKEN_STRIP) {
                let (logits, _) = scratch.floats(tokens.len() * n, 0);
                let out = Output { data: logits.as_mut_ptr(), stride: n, accumulate: false };
                // SAFETY: packed, by contract; the panels lie in another part of the scratch than
                // the logits, which have room for these tokens and rows.
                unsafe { self.sweep(left.tokens(tokens.clone()), &panels, out) };
                for (token, logits) in tokens.zip(logits.chunks_exact_mut(n)) {
                    take(token, rows.clone(), logits);
                }
            }
        }
    }
}
