//! The backward pass: tiles of queries against keys, with the keys along the lanes.

mod products;

use std::ops::Range;

use super::band::Band;
use super::plan::{self, Part};
use super::tile::{Buffers, copy_rows, transpose};
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

/// Buffers of a block of keys; rows of `D` are rounded up.
struct Keys {
    /// `(64, D)`
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

/// Buffers of a block of queries, `(64, D)`.
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
}

/// Floats of scratch for sequences of at most `longest` tokens: more than the forward pass takes.
pub(super) fn scratch_len(shape: &AttentionShape, longest: usize) -> usize {
    8 * shape.row() * TILE + 2 * TILE * TILE + deltas_len(shape, longest)
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
    let mut take = || buffers.take(block);
    let backward = Backward {
        generic: kernels.generic,
        shape,
        input,
        saved,
        gradient,
        keys: Keys {
            k: take(),
            k_transposed: take(),
            v_transposed: take(),
            dk: take(),
            dv: take(),
        },
        queries: Queries { q: take(), dout: take(), dq: take() },
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
                    for key in (0..segment.len).step_by(TILE) {
                        backward.keys(segment, head, key, true);
                    }
                }
                Part::Keys(key) => {
                    backward.deltas(segment, head, key..shape.last_query(segment, key));
                    backward.keys(segment, head, key, false);
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

    /// `dk` and `dv` of a block of keys and, with `dq`, its part of the gradient of the queries,
    /// which is complete after all blocks of keys in ascending order.
    ///
    /// # Safety
    /// The tensors hold the segment, the deltas of the queries that see the keys are made, and nothing
    /// else accesses those gradients.
    unsafe fn keys(&self, segment: Segment, head: usize, key: usize, dq: bool) {
        let shape = &self.shape;
        let group = shape.group();
        let end = shape.last_query(segment, key);
        // SAFETY: the block lies in the segment; the first tile overwrites `dk` and `dv`.
        unsafe {
            self.load_keys(segment, head, key);
            for g in 0..group {
                for query in (key..end).step_by(TILE) {
                    let tile = Tile { segment, head: head * group + g, query, key };
                    self.scores(tile);
                    self.key_products(tile, g > 0 || query > key);
                    if dq {
                        self.query_products(tile);
                    }
                }
            }
            let n = (segment.len - key).min(TILE);
            let (d, row) = (shape.head_dim, shape.row());
            let at = ((segment.start + key) * shape.n_head_kv + head) * d;
            for (from, to) in [(self.keys.dk, self.gradient.dk), (self.keys.dv, self.gradient.dv)] {
                for j in 0..n {
                    let to = to.add(at + j * shape.n_head_kv * d);
                    std::ptr::copy_nonoverlapping(from.add(j * row), to, d);
                }
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
                self.load_keys(segment, head, key);
                for g in 0..group {
                    let tile = Tile { segment, head: head * group + g, query, key };
                    self.scores(tile);
                    self.query_products(tile);
                }
            }
        }
    }

    /// Copies and transposes a block of keys and values.
    ///
    /// # Safety
    /// The tensors hold the segment.
    unsafe fn load_keys(&self, segment: Segment, head: usize, key: usize) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head_kv);
        let n = (segment.len - key).min(TILE);
        let at = ((segment.start + key) * heads + head) * d;
        // SAFETY: `n` rows of the segment; the buffers have room for a block.
        unsafe {
            let (k, v) = (self.input.k.add(at), self.input.v.add(at));
            copy_rows(k, heads * d, n, d, self.keys.k, self.shape.row());
            transpose(self.generic, k, heads * d, n, d, self.keys.k_transposed);
            transpose(self.generic, v, heads * d, n, d, self.keys.v_transposed);
        }
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
