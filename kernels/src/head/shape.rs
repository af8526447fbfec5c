//! Sizes of a head, and the memory that it takes.

use crate::layout::{BLOCK, COLUMNS, PackedShape, Precision, TILE_COLUMNS};
use crate::loops::log_softmax::{PART, SPAN};
use crate::panels::row_panel_bytes;
use crate::product::{GROUP_COLUMNS, GROUP_ROWS, MIN_PANELS, PANEL_BUDGET};
use crate::sweep::TOKEN_STRIP;

/// Threads and chunks divide the vocabulary at multiples of this many rows.
///
/// Such a part has a maximum and a sum of its own, and is a whole number of the parts in which a
/// transposed product sums.
pub const VOCAB_PART: usize = PART;

const _: () = assert!(VOCAB_PART.is_multiple_of(GROUP_ROWS));
const _: () = assert!((MIN_PANELS * COLUMNS).is_multiple_of(SPAN));

/// Bytes of packed gradients that [`HeadShape::chunk`] aims at.
const CHUNK_BUDGET: usize = 4 << 20;

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

    /// Shape of the packed gradient of a chunk of `rows` rows of the vocabulary, `(T, rows)`.
    pub const fn dlogits(self, rows: usize) -> PackedShape {
        PackedShape { precision: self.precision, n_tokens: self.n_tokens, r: rows }
    }

    /// Rows of the vocabulary to take at a time in the backward pass: as many parts as keep the
    /// packed gradient within 4 MiB, at least one.
    pub const fn chunk(self) -> usize {
        let part = self.dlogits(VOCAB_PART).bytes();
        let mut parts = 1;
        while parts * VOCAB_PART < self.n_vocab && (parts + 1) * part <= CHUNK_BUDGET {
            parts += 1;
        }
        parts * VOCAB_PART
    }

    /// Bytes that either pass makes a thread's [`Scratch`](crate::Scratch) grow to.
    ///
    /// At `T = 1024` and `K = 2048` these are 0.7 MiB in int8 and 2.1 MiB in f32.
    pub const fn scratch_bytes(self) -> usize {
        let rows = self.rows();
        let logits = TOKEN_STRIP * rows;
        let tile = if logits > self.n_embd { logits } else { self.n_embd };
        let forward = 4 * tile + rows / COLUMNS * row_panel_bytes(self.activations());
        let columns = 4 * BLOCK * TILE_COLUMNS
            + GROUP_COLUMNS / COLUMNS * row_panel_bytes(self.dlogits(GROUP_ROWS));
        // The two floors of the scratch grow apart from each other.
        forward + columns
    }

    /// Rows of `W` whose panels are made before the tokens are swept: a power of two, so that a
    /// part is a whole number of them.
    pub(super) const fn rows(self) -> usize {
        let panel = row_panel_bytes(self.activations());
        let mut n_panels = MIN_PANELS;
        while 2 * n_panels * COLUMNS <= VOCAB_PART && 2 * n_panels * panel <= PANEL_BUDGET {
            n_panels *= 2;
        }
        n_panels * COLUMNS
    }
}
