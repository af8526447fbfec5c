//! A language model's head: log-probabilities of labels and their gradient, without the logits.
//!
//! ```text
//! logits[t, v] = Σ_k x[t, k] w[v, k]
//! log_prob[t]  = logits[t, labels[t]] - ln Σ_v exp(logits[t, v])
//! dx[t, k]     = Σ_v dlogits[t, v] w[v, k]
//! ```
//!
//! The vocabulary `V` is long and the weights are most of the work that does not depend on the
//! number of tokens, so the outer loop goes over pieces of `W` and the inner one over all tokens:
//! `W` is unpacked once forward, and once in each orientation backward, however many tokens there
//! are. Logits exist for a few rows of `W` and [`TOKEN_BLOCK`] tokens at a time, in a thread's
//! scratch. Forward, only their maximum and sum of exponentials survive, per token and
//! [`VOCAB_PART`] rows. Backward they are computed again, become the gradient `dlogits` on the
//! spot, and are packed as activations of [`Kernels::product_transposed`], a piece of the
//! vocabulary at a time:
//!
//! ```text
//! for piece of the vocabulary, HeadShape::piece rows long:
//!     head_dlogits(piece)           threads divide the piece's rows
//!     dx += product_transposed      threads divide the columns
//! ```
//!
//! Each step needs all of the one before, so the caller synchronizes its threads in between. The
//! alternative, a `dx` of each thread's own, takes no synchronization but `T · K` floats per thread,
//! and its sum depends on the number of threads. Here every bit is that of the obvious way
//! ([`Kernels::product`], [`Kernels::log_prob`], [`Kernels::log_prob_backward`],
//! [`Kernels::product_transposed`]), whatever the pieces and threads.

mod backward;
mod forward;

use std::ops::Range;

pub use forward::LogProb;

use crate::layout::{COLUMNS, PackedShape, Precision, TILE_COLUMNS};
use crate::panels::{Panels, row_panel_bytes};
use crate::product::{
    GROUP_COLUMNS, GROUP_ROWS, Left, MIN_PANELS, PANEL_BUDGET, TOKEN_BLOCK, pieces,
};
use crate::softmax::{CHUNK, PART};
use crate::{BLOCK, Kernels, Output, Scratch};

/// Rows of the vocabulary in whose multiples threads and pieces divide it.
///
/// A part has a maximum and a sum of its own, and is a whole number of pieces of a transposed
/// product's sum.
pub const VOCAB_PART: usize = PART;

const _: () = assert!(VOCAB_PART.is_multiple_of(GROUP_ROWS));
const _: () = assert!((MIN_PANELS * COLUMNS).is_multiple_of(CHUNK));

/// Bytes of packed gradients that [`HeadShape::piece`] aims at.
const PIECE_BUDGET: usize = 4 << 20;

/// What is done with a token's logits of some rows of `W`.
type Take<'a> = dyn FnMut(usize, Range<usize>, &mut [f32]) + 'a;

/// Sizes of a head and of the targets it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Arithmetic of the products.
    pub precision: Precision,
    /// Targets, `T`.
    pub n_tokens: usize,
    /// Length of a row of `W`, `K`.
    pub n_embd: usize,
    /// Rows of `W`, `V`.
    pub n_vocab: usize,
}

impl HeadShape {
    /// Shape of the packed activations, `(T, K)`.
    pub const fn activations(self) -> PackedShape {
        PackedShape { precision: self.precision, n_tokens: self.n_tokens, r: self.n_embd }
    }

    /// Shape of the packed gradient of a piece of `rows` rows of the vocabulary, `(T, rows)`.
    pub const fn dlogits(self, rows: usize) -> PackedShape {
        PackedShape { precision: self.precision, n_tokens: self.n_tokens, r: rows }
    }

    /// Rows of the vocabulary to take at a time in the backward pass: as many parts as keep the
    /// packed gradient within 4 MiB, at least one.
    pub const fn piece(self) -> usize {
        let part = self.dlogits(VOCAB_PART).bytes();
        let mut parts = 1;
        while parts * VOCAB_PART < self.n_vocab && (parts + 1) * part <= PIECE_BUDGET {
            parts += 1;
        }
        parts * VOCAB_PART
    }

    /// Bytes that either pass makes a thread's [`Scratch`] grow to.
    ///
    /// At `T = 1024` and `K = 2048` these are 0.7 MiB in int8 and 2.1 MiB in f32.
    pub const fn scratch_bytes(self) -> usize {
        let rows = self.rows();
        let logits = TOKEN_BLOCK * rows;
        let tile = if logits > self.n_embd { logits } else { self.n_embd };
        let forward = 4 * tile + rows / COLUMNS * row_panel_bytes(self.activations());
        let columns = 4 * BLOCK * TILE_COLUMNS
            + GROUP_COLUMNS / COLUMNS * row_panel_bytes(self.dlogits(GROUP_ROWS));
        // The two floors of the scratch grow apart from each other.
        forward + columns
    }

    /// Rows of `W` whose panels are made before the tokens are swept: a power of two, so that a
    /// part is a whole number of them.
    const fn rows(self) -> usize {
        let panel = row_panel_bytes(self.activations());
        let mut n_panels = MIN_PANELS;
        while 2 * n_panels * COLUMNS <= VOCAB_PART && 2 * n_panels * panel <= PANEL_BUDGET {
            n_panels *= 2;
        }
        n_panels * COLUMNS
    }
}

impl Kernels {
    /// Calls `take` for every token and every piece of the rows `rows` of `W`.
    ///
    /// # Safety
    /// `packed` is as [`Kernels::product`] demands for `shape.activations()`.
    unsafe fn head_logits(
        &self,
        shape: HeadShape,
        packed: *const u8,
        unpack: &dyn Fn(usize, &mut [f32]),
        rows: Range<usize>,
        scratch: &mut Scratch,
        take: &mut Take<'_>,
    ) {
        let left = Left { shape: shape.activations(), data: packed };
        for rows in pieces(rows, shape.rows()) {
            let n = rows.len();
            let panels = self.row_panels(left.shape, unpack, rows.clone(), scratch);
            let panels = Panels { columns: 0..n, ..panels };
            for tokens in pieces(0..shape.n_tokens, TOKEN_BLOCK) {
                let (logits, _) = scratch.floats(tokens.len() * n, 0);
                let out = Output { data: logits.as_mut_ptr(), stride: n, accumulate: false };
                // SAFETY: packed, by contract; the panels lie in another part of the scratch than
                // the logits, which have room for these tokens and rows.
                unsafe { self.sweep(left.part(tokens.clone()), &panels, out) };
                for (token, logits) in tokens.zip(logits.chunks_exact_mut(n)) {
                    take(token, rows.clone(), logits);
                }
            }
        }
    }
}
