//! Sizes of an adapter, and the memory that it takes.

use std::ops::Range;

use crate::loops::{Dropout, LANES};

/// Tokens and columns of the input that are copied at a time to apply dropout to them.
pub(super) const TILE: (usize, usize) = (128, 256);

/// Whole rows that are copied at a time, at least: what the matrix product takes side by side.
const MIN_ROWS: usize = 6;

/// The sizes of an adapter beside one projection, whose functions take these tensors, contiguous:
///
/// | tensor        | shape                       |
/// |---------------|-----------------------------|
/// | `x`, `dx`     | `(T, K)`                    |
/// | `y`, `dy`     | `(T, M)`                    |
/// | `a`, `da`     | `(r, K)`                    |
/// | `b`, `db`     | `(M, r)`                    |
/// | `low`, `dlow` | `(T, row)`, [`LoraShape::row`] |
///
/// `x̃ = mask · x` is the input after dropout.
#[derive(Clone, Debug, PartialEq)]
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
    /// What is dropped of the input: a mask of `T` rows.
    pub dropout: Option<Dropout>,
}

impl LoraShape {
    /// Floats of a row of `low` and `dlow`: the rank rounded up to a multiple of 16. What lies
    /// beyond the rank is written as zero.
    pub fn row(&self) -> usize {
        self.r.next_multiple_of(LANES)
    }

    /// Bytes that any of the products makes a thread's [`Scratch`](crate::Scratch) grow to.
    pub fn scratch_bytes(&self) -> usize {
        let (row, wide) = (self.row(), self.n_in.max(self.n_out));
        let copies = (TILE.0 * TILE.1).max(self.copied_rows() * self.n_in);
        4 * (wide * row + copies)
    }

    /// Rows of the input that are copied at a time.
    pub(super) fn copied_rows(&self) -> usize {
        (TILE.0 * TILE.1 / self.n_in / MIN_ROWS * MIN_ROWS).max(MIN_ROWS)
    }

    pub(super) fn check(&self, split: &Range<usize>, whole: usize) {
        let wide = self.n_in.is_multiple_of(LANES) && self.n_out.is_multiple_of(LANES);
        assert!(wide, "{} inputs and {} outputs", self.n_in, self.n_out);
        let rows = self.dropout.as_ref().map_or(self.n_tokens, |mask| mask.windows().len());
        assert_eq!(rows, self.n_tokens, "a mask of as many rows as there are tokens");
        assert!(split.start <= split.end && split.end <= whole, "{split:?} of {whole}");
    }
}
