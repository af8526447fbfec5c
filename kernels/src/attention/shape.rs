//! The sizes of an attention layer, and its tiles.

use crate::loops::LANES;
use crate::loops::tile_softmax::TILE;

/// Tokens of a page of kept keys and values: a page is a tile.
pub const PAGE: usize = TILE;

/// The sizes of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// `H`, heads of the queries; a multiple of `n_head_kv`.
    pub n_head: usize,
    /// `Hkv`, heads of the keys and values. Query head `h` reads head `h · Hkv / H`.
    pub n_head_kv: usize,
    /// `D`, elements of a head.
    pub head_dim: usize,
    /// Factor of the scores, usually `1 / √D`.
    pub scale: f32,
    /// How many tokens a query sees, itself included and at least 1; all before it if `None`.
    pub window: Option<usize>,
}

/// The tokens `start..start + len` of a pack: a sequence that sees nothing outside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first token.
    pub start: usize,
    /// Number of tokens.
    pub len: usize,
}

impl AttentionShape {
    /// Query heads that share a head of keys and values.
    pub(super) fn group(&self) -> usize {
        self.n_head / self.n_head_kv
    }

    /// Floats from one row of a buffer to the next: `D` rounded up.
    pub(super) fn row(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// The first key of the first tile that the tile of queries at `query` sees.
    pub(super) fn first_tile(&self, query: usize) -> usize {
        self.first_key(query) / TILE * TILE
    }

    /// The first key that a query sees.
    pub(super) fn first_key(&self, query: usize) -> usize {
        self.window.map_or(0, |window| (query + 1).saturating_sub(window))
    }

    /// After the last query of the segment that sees the tile of keys at `key`.
    pub(super) fn last_query(&self, segment: Segment, key: usize) -> usize {
        let last_key = (key + TILE).min(segment.len) - 1;
        self.window.map_or(segment.len, |w| segment.len.min(last_key.saturating_add(w)))
    }

    pub(super) fn check(&self) {
        assert!(
            self.n_head_kv > 0 && self.n_head.is_multiple_of(self.n_head_kv),
            "{} heads cannot share {} heads of keys",
            self.n_head,
            self.n_head_kv
        );
        assert!(self.head_dim > 0, "heads have no elements");
        assert!(self.window != Some(0), "a window of 0 shows nothing");
    }
}
