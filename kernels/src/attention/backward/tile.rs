//! One tile of the backward pass.

use crate::attention::band::Band;
use crate::attention::shape::{AttentionShape, Segment};
use crate::loops::tile_softmax::TILE;

/// A tile: a head of queries and the first query and key of the segment in it.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub segment: Segment,
    pub head: usize,
    pub query: usize,
    pub key: usize,
    /// Which of the loaded tiles of keys it is.
    pub slot: usize,
}

impl Tile {
    /// Queries and keys in it.
    pub fn sizes(&self) -> (usize, usize) {
        let n = |first: usize| (self.segment.len - first).min(TILE);
        (n(self.query), n(self.key))
    }

    /// What is visible, if not all.
    pub fn band(&self, shape: &AttentionShape) -> Option<Band> {
        let (n, n_keys) = self.sizes();
        let band = Band::of_keys(self.query, self.key, shape.window);
        (!band.is_full(n, n_keys)).then_some(band)
    }
}
