//! The backward pass: tiles of queries against keys, with the keys along the lanes.

mod products;

use std::ops::Range;

use super::band::Band;
use super::plan::{self, Part};
use super::tile::{Buffers, transpose};
use super::{
    AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, LANES, Segment, Share, TILE,
};
use crate::generic::Generic;
use crate::{Kernels, Scratch};

/// The tensors of a call and this thread's buffers.
struct Backward {
    generic: &'static Generic,
    shape: AttentionShape,
    input: AttentionInput,
    saved: AttentionSaved,
    gradient: AttentionGradient,
    keys: Keys,
    queries: Queries,
    /// `(64, 64)`, scores and probabilities; rows are queries.
    scores: *mut f32,
    /// `(64, 64)`, `dout · v` and the gradient of the scores.
    dscores: *mut f32,
    /// `(H / Hkv, segment)`, `dout · out` of the query heads that share a head of keys.
    delta: *mut f32,
}

/// Buffers of a block of keys, those of the next blocks behind; rows of `D` are rounded up.
struct Keys {
    /// `(64, D)`, for heads that are no whole vectors.
    k: *mut f32,
    /// `(D, 64)`
    k_transposed: *mut f32,
    /// `(D, 64)`
    v_transposed: *mut f32,
    /// `(64, D)`, summed over queries.
    dk: *mut f32,
    /// `(64, D)`, summed over queries.
    dv: *mut f32,
}

/// Buffers of a block of queries, `(64, D)`, for heads that are no whole vectors.
struct Queries {
    q: *mut f32,
    dout: *mut f32,
    dq: *mut f32,
}

/// A tile: a head of queries and the first query and key of the segment in it.
#[derive(Clone, Copy)]
struct Tile {
    segment: Segment,
    head: usize,
    query: usize,
    key: usize,
    /// Which of the loaded blocks of keys it is.
    slot: usize,
}

/// Floats of scratch for sequences of at most `longest` tokens: more than the forward pass takes.
pub(super) fn scratch_len(shape: &AttentionShape, longest: usize) -> usize {
    let blocks = 4 * loaded_blocks(shape) + 4;
    blocks * shape.row() * TILE + 2 * TILE * TILE + deltas_len(shape, longest)
}

/// Blocks of keys that a block of queries meets while it is in the cache: as many as stay in a
/// second-level cache themselves.
fn loaded_blocks(shape: &AttentionShape) -> usize {
    (256 / shape.row()).clamp(1, 4)
}

fn deltas_len(shape: &AttentionShape, longest: usize) -> usize {
    (shape.group() * longest).next_multiple_of(LANES)
}

/// This thread's share of the backward pass.
///
/// # Safety
/// As for [`Kernels::attention_backward`].
#[expect(clippy::too_many_arguments, reason = "those of the public function")]
pub(super) unsafe fn run(
    kernels: Kernels,
    shape: AttentionShape,
    segments: &[Segment],
    input: AttentionInput,
    saved: AttentionSaved,
    gradient: AttentionGradient,
    share: Share,
    scratch: &mut Scratch,
) {
    let block = shape.row() * TILE;
    let longest = segments.iter().map(|segment| segment.len).max().unwrap_or(0);
    let deltas = deltas_len(&shape, longest);
    let mut buffers = Buffers::new(scratch, scratch_len(&shape, longest));
    let slots = loaded_blocks(&shape) * block;
    let backward = Backward {
        generic: kernels.generic,
        shape,
        input,
        saved,
        gradient,
        keys: Keys {
            k: buffers.take(block),
            k_transposed: buffers.take(slots),
            v_transposed: buffers.take(slots),
            dk: buffers.take(slots),
            dv: buffers.take(slots),
        },
        queries: Queries {
            q: buffers.take(block),
            dout: buffers.take(block),
            dq: buffers.take(block),
        },
        scores: buffers.take(TILE * TILE),
        dscores: buffers.take(TILE * TILE),
        delta: buffers.take(deltas),
    };
    for (segment, head, part) in plan::backward(&shape, segments, share) {
        // SAFETY: parts of the segments that no other share has; the rest is the contract.
        unsafe {
            match part {
                Part::Head => {
                    backward.deltas(segment, head, 0..segment.len);
                    for key in (0..segment.len).step_by(loaded_blocks(&shape) * TILE) {
                        let end = segment.len.min(key + loaded_blocks(&shape) * TILE);
                        backward.keys(segment, head, key..end, true);
                    }
                }
                Part::Keys(key) => {
                    backward.deltas(segment, head, key..shape.last_query(segment, key));
                    let end = segment.len.min(key + TILE);
                    backward.keys(segment, head, key..end, false);
                }
                Part::Queries(query) => {
                    backward.deltas(segment, head, query..(query + TILE).min(segment.len));
                    backward.queries(segment, head, query);
                }
            }
        }
    }
}

impl Backward {
    /// `delta[g, i] = dout[i] · out[i]` of some queries of the heads `g` that share a head of keys.
    ///
    /// # Safety
    /// The tensors hold the segment.
    unsafe fn deltas(&self, segment: Segment, head: usize, queries: Range<usize>) {
        let (d, group) = (self.shape.head_dim, self.shape.group());
        for i in queries {
            for g in 0..group {
                let at = (segment.start + i) * self.shape.n_head + head * group + g;
                // SAFETY: rows of the tensors; the buffer has room for the longest segment.
                unsafe {
                    let out = std::slice::from_raw_parts(self.saved.out.add(at * d), d);
                    let dout = std::slice::from_raw_parts(self.saved.dout.add(at * d), d);
                    let delta = (self.generic.dot)(dout, out);
                    self.delta.add(g * segment.len + i).write(delta);
                }
            }
        }
    }

    /// `dk` and `dv` of some blocks of keys and, with `dq`, their part of the gradient of the
    /// queries, which is complete after all blocks of keys in ascending order.
    ///
    /// # Safety
    /// The tensors hold the segment, the deltas of the queries that see the keys are made, and
    /// nothing else accesses those gradients; the buffers have room for the blocks.
    unsafe fn keys(&self, segment: Segment, head: usize, keys: Range<usize>, dq: bool) {
        let shape = &self.shape;
        let group = shape.group();
        let blocks = || keys.clone().step_by(TILE).enumerate();
        // SAFETY: the blocks lie in the segment; a block's first tile overwrites `dk` and `dv`.
        unsafe {
            for (slot, key) in blocks() {
                self.load_keys(segment, head, key, slot);
            }
            for g in 0..group {
                for query in (keys.start..shape.last_query(segment, keys.end - 1)).step_by(TILE) {
                    let (q, dout) = self.rows(segment, head * group + g, query);
                    for (slot, key) in blocks() {
                        if query < key || query >= shape.last_query(segment, key) {
                            continue;
                        }
                        let tile = Tile { segment, head: head * group + g, query, key, slot };
                        self.scores(tile, q, dout);
                        self.key_products(tile, q, dout, g > 0 || query > key);
                        if dq {
                            self.query_products(tile);
                        }
                    }
                }
            }
            for (slot, key) in blocks() {
                self.store_keys(segment, head, key, slot);
            }
        }
    }

    /// `dq` of a block of queries, for all query heads that share the head of keys.
    ///
    /// # Safety
    /// As for [`Backward::keys`], with the deltas of the block.
    unsafe fn queries(&self, segment: Segment, head: usize, query: usize) {
        let group = self.shape.group();
        let end = (query + TILE).min(segment.len);
        for key in (self.shape.first_tile(query)..end).step_by(TILE) {
            // SAFETY: the blocks lie in the segment.
            unsafe {
                self.load_keys(segment, head, key, 0);
                for g in 0..group {
                    let tile = Tile { segment, head: head * group + g, query, key, slot: 0 };
                    let (q, dout) = self.rows(segment, tile.head, query);
                    self.scores(tile, q, dout);
                    self.query_products(tile);
                }
            }
        }
    }

    /// Transposes a block of keys and values.
    ///
    /// # Safety
    /// The tensors hold the segment, the buffers the slot.
    unsafe fn load_keys(&self, segment: Segment, head: usize, key: usize, slot: usize) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head_kv);
        let n = (segment.len - key).min(TILE);
        let at = ((segment.start + key) * heads + head) * d;
        let slot = slot * self.block();
        // SAFETY: `n` rows of the segment; the buffers have room for a block in the slot.
        unsafe {
            let (k, v) = (self.input.k.add(at), self.input.v.add(at));
            transpose(self.generic, k, heads * d, n, d, self.keys.k_transposed.add(slot));
            transpose(self.generic, v, heads * d, n, d, self.keys.v_transposed.add(slot));
        }
    }

    /// Writes the gradients of a block of keys.
    ///
    /// # Safety
    /// The gradients hold the segment, nothing else accesses them there; the slot is filled.
    unsafe fn store_keys(&self, segment: Segment, head: usize, key: usize, slot: usize) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head_kv);
        let n = (segment.len - key).min(TILE);
        let at = ((segment.start + key) * heads + head) * d;
        let slot = slot * self.block();
        for (from, to) in [(self.keys.dk, self.gradient.dk), (self.keys.dv, self.gradient.dv)] {
            for j in 0..n {
                // SAFETY: row `j` of the slot and of the gradient.
                unsafe {
                    let to = to.add(at + j * heads * d);
                    std::ptr::copy_nonoverlapping(from.add(slot + j * self.shape.row()), to, d);
                }
            }
        }
    }

    /// Floats of a block.
    fn block(&self) -> usize {
        self.shape.row() * TILE
    }
}

impl Tile {
    /// Queries and keys in it.
    fn sizes(&self) -> (usize, usize) {
        let n = |first: usize| (self.segment.len - first).min(TILE);
        (n(self.query), n(self.key))
    }

    /// What is visible, if not all.
    fn band(&self, shape: &AttentionShape) -> Option<Band> {
        let (n, n_keys) = self.sizes();
        let band = Band::of_keys(self.query, self.key, shape.window);
        (!band.is_full(n, n_keys)).then_some(band)
    }
}
