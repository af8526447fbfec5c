//! Gradients of logits, packed for the product that takes them back through `W`.

use std::ops::Range;

use super::input::HeadInput;
use super::shape::VOCAB_PART;
use crate::kernels::Kernels;
use crate::layout::BLOCK;
use crate::log_softmax::LogitGradient;
use crate::scratch::Scratch;

impl Kernels {
    /// Gradient of the logits of the rows `rows` of a chunk of the vocabulary, packed.
    ///
    /// | argument    | shape        | meaning                                                    |
    /// |-------------|--------------|------------------------------------------------------------|
    /// | `input`     |              | `x` and `W`                                                |
    /// | `chunk`     |              | rows of the vocabulary, from a multiple of [`VOCAB_PART`]  |
    /// | `rows`      |              | this thread's rows of the chunk                            |
    /// | `gradients` | `(T,)`       | labels, weights and what the forward pass found            |
    /// | `dlogits`   | `(T, chunk)` | packed as `input.shape.dlogits(chunk.len())`               |
    ///
    /// `rows` begins and ends at multiples of 32 from the start of the chunk, or at its end. Each
    /// of them is unpacked once. The bytes are those that [`Kernels::pack`] makes of
    /// [`Kernels::log_prob_backward`]'s rows.
    ///
    /// # Safety
    /// - `input.packed`, of the shape `input.shape.activations()`, is as [`Kernels::product`]
    ///   requires of its `x`.
    /// - `dlogits` points to `input.shape.dlogits(chunk.len()).bytes()` writable bytes and is
    ///   aligned to 4. Threads that share it take different rows, and nothing else accesses it
    ///   during the call.
    ///
    /// # Panics
    /// If there is not one gradient per token, or `rows` is not such a part of the chunk.
    pub unsafe fn head_dlogits(
        &self,
        input: HeadInput<'_>,
        chunk: Range<usize>,
        rows: Range<usize>,
        gradients: &[LogitGradient],
        dlogits: *mut u8,
        scratch: &mut Scratch,
    ) {
        let shape = input.shape;
        assert_eq!(gradients.len(), shape.n_tokens, "gradients");
        let inside = chunk.start <= rows.start && rows.end <= chunk.end;
        let whole = |row: usize| (row - chunk.start).is_multiple_of(BLOCK) || row == chunk.end;
        assert!(inside && whole(rows.start) && whole(rows.end), "{rows:?} of {chunk:?}");
        assert!(chunk.start.is_multiple_of(VOCAB_PART) && chunk.end <= shape.n_vocab, "{chunk:?}");
        let to = shape.dlogits(chunk.len());
        // SAFETY: the rows begin at a block of the packed gradient, whose bytes for these rows are
        // this call's alone.
        unsafe {
            self.head_logits(input, rows, scratch, &mut |token, rows, logits| {
                self.part_backward(logits, rows.start, gradients[token]);
                self.pack_part(to, logits, token, rows.start - chunk.start, dlogits);
            });
        }
    }
}
