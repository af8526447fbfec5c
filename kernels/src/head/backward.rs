//! Gradients of logits, packed for the product that takes them back through `W`.

use std::ops::Range;

use super::shape::{HeadShape, VOCAB_PART};
use crate::kernels::Kernels;
use crate::layout::BLOCK;
use crate::log_softmax::LogitGradient;
use crate::scratch::Scratch;

impl Kernels {
    /// Gradient of the logits of the rows `rows` of a piece of the vocabulary, packed.
    ///
    /// | argument    | shape        | meaning                                                    |
    /// |-------------|--------------|------------------------------------------------------------|
    /// | `packed`    | `(T, K)`     | `x`, packed as `shape.activations()` by [`Kernels::pack`]  |
    /// | `unpack`    |              | `unpack(v, row)` writes all `K` elements of row `v` of `W` |
    /// | `piece`     |              | rows of the vocabulary, a multiple of [`VOCAB_PART`] first |
    /// | `rows`      |              | this thread's rows of the piece                            |
    /// | `gradients` | `(T,)`       | labels, weights and what the forward pass found            |
    /// | `dlogits`   | `(T, piece)` | packed as `shape.dlogits(piece.len())`                     |
    ///
    /// `rows` begins and ends at multiples of 32 from the start of the piece, or at its end. Each
    /// of them is unpacked once. The bytes are those that [`Kernels::pack`] makes of
    /// [`Kernels::log_prob_backward`]'s rows.
    ///
    /// # Safety
    /// - `packed` as [`Kernels::product`] demands.
    /// - `dlogits` points to `shape.dlogits(piece.len()).bytes()` writable bytes and is aligned to
    ///   4. Threads that share it take different rows, and nothing else accesses it meanwhile.
    ///
    /// # Panics
    /// If there is not one gradient per token, or `rows` is no such part of the piece.
    #[expect(clippy::too_many_arguments, reason = "operands of one product and a softmax")]
    pub unsafe fn head_dlogits(
        &self,
        shape: HeadShape,
        packed: *const u8,
        unpack: &dyn Fn(usize, &mut [f32]),
        piece: Range<usize>,
        rows: Range<usize>,
        gradients: &[LogitGradient],
        dlogits: *mut u8,
        scratch: &mut Scratch,
    ) {
        assert_eq!(gradients.len(), shape.n_tokens, "gradients");
        let inside = piece.start <= rows.start && rows.end <= piece.end;
        let whole = |row: usize| (row - piece.start).is_multiple_of(BLOCK) || row == piece.end;
        assert!(inside && whole(rows.start) && whole(rows.end), "{rows:?} of {piece:?}");
        assert!(piece.start.is_multiple_of(VOCAB_PART) && piece.end <= shape.n_vocab, "{piece:?}");
        let to = shape.dlogits(piece.len());
        // SAFETY: the rows begin at a block of the packed gradient, whose bytes for these rows are
        // this call's alone.
        unsafe {
            self.head_logits(shape, packed, unpack, rows, scratch, &mut |token, rows, logits| {
                self.part_backward(logits, rows.start, gradients[token]);
                self.pack_part(to, logits, token, rows.start - piece.start, dlogits);
            });
        }
    }
}
