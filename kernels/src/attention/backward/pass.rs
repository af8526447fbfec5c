//! The order of the work: heads or their parts, tiles of keys, queries that see them.

use std::ops::Range;

use super::buffers::{Backward, loaded_tiles};
use super::tile::Tile;
use crate::attention::schedule::{AttentionSchedule, Task};
use crate::attention::shape::Segment;
use crate::attention::tensors::{AttentionGradient, AttentionSaved};
use crate::attention::tile::transpose;
use crate::kernels::Kernels;
use crate::loops::tile_softmax::TILE;
use crate::scratch::Scratch;

impl Kernels {
    /// Gradient of [`Kernels::attention`]: the tasks `tasks` of [`AttentionSchedule::backward`].
    ///
    /// With `δ[i] = dout[i] · out[i]` and `ds[i, j] = scale · p[i, j] (dout[i] · v[j] - δ[i])`:
    /// `dq[i] = Σ_j ds[i, j] k[j]`, `dk[j] = Σ_i ds[i, j] q[i]`, `dv[j] = Σ_i p[i, j] dout[i]`;
    /// the last two sum over the query heads that share a head.
    ///
    /// Threads, zeroing and tokens outside segments as for [`Kernels::attention`]. Probabilities
    /// carry a relative error of about `6e-8 · |lse|`. A NaN may also reach tokens up to 63 before
    /// or after those that depend on it.
    ///
    /// # Panics
    /// As for [`Kernels::attention`].
    ///
    /// # Safety
    /// As for [`Kernels::attention`], with `saved` as the input and `gradient` as the output.
    pub unsafe fn attention_backward(
        &self,
        schedule: &AttentionSchedule,
        tasks: Range<usize>,
        saved: AttentionSaved,
        gradient: AttentionGradient,
        scratch: &mut Scratch,
    ) {
        let AttentionSchedule { shape, longest, .. } = *schedule;
        let backward = Backward::new(self, shape, longest, saved, gradient, scratch);
        for &(segment, head, task) in &schedule.backward[tasks] {
            // SAFETY: tasks of the segments; the rest is the contract.
            unsafe {
                match task {
                    Task::Head => {
                        backward.deltas(segment, head, 0..segment.len);
                        for key in (0..segment.len).step_by(loaded_tiles(&shape) * TILE) {
                            let end = segment.len.min(key + loaded_tiles(&shape) * TILE);
                            backward.keys(segment, head, key..end, true);
                        }
                    }
                    Task::Keys(key) => {
                        backward.deltas(segment, head, key..shape.last_query(segment, key));
                        let end = segment.len.min(key + TILE);
                        backward.keys(segment, head, key..end, false);
                    }
                    Task::Queries(query) => {
                        backward.deltas(segment, head, query..(query + TILE).min(segment.len));
                        backward.queries(segment, head, query);
                    }
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
                    let delta = (self.loops.dot)(dout, out);
                    self.delta.add(g * segment.len + i).write(delta);
                }
            }
        }
    }

    /// `dk` and `dv` of some tiles of keys and, with `dq`, their part of the gradient of the
    /// queries, which is complete after all tiles of keys in ascending order.
    ///
    /// # Safety
    /// The tensors hold the segment, the deltas of the queries that see the keys are made, and
    /// nothing else accesses those gradients; the buffers have room for the tiles.
    unsafe fn keys(&self, segment: Segment, head: usize, keys: Range<usize>, dq: bool) {
        let shape = &self.shape;
        let group = shape.group();
        let tiles = || keys.clone().step_by(TILE).enumerate();
        // SAFETY: the tiles lie in the segment; the first tile of queries overwrites `dk` and `dv`.
        unsafe {
            for (slot, key) in tiles() {
                self.load_keys(segment, head, key, slot);
            }
            for g in 0..group {
                for query in (keys.start..shape.last_query(segment, keys.end - 1)).step_by(TILE) {
                    let (q, dout) = self.rows(segment, head * group + g, query);
                    for (slot, key) in tiles() {
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
            for (slot, key) in tiles() {
                self.store_keys(segment, head, key, slot);
            }
        }
    }

    /// `dq` of a tile of queries, for all query heads that share the head of keys.
    ///
    /// # Safety
    /// As for [`Backward::keys`], with the deltas of the tile.
    unsafe fn queries(&self, segment: Segment, head: usize, query: usize) {
        let group = self.shape.group();
        let end = (query + TILE).min(segment.len);
        for key in (self.shape.first_tile(query)..end).step_by(TILE) {
            // SAFETY: the tiles lie in the segment.
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

    /// Transposes a tile of keys and values.
    ///
    /// # Safety
    /// The tensors hold the segment, the buffers the slot.
    unsafe fn load_keys(&self, segment: Segment, head: usize, key: usize, slot: usize) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head_kv);
        let n = (segment.len - key).min(TILE);
        let at = ((segment.start + key) * heads + head) * d;
        let slot = slot * self.tile_len();
        // SAFETY: `n` rows of the segment; the buffers have room for a tile in the slot.
        unsafe {
            let (k, v) = (self.saved.input.k.add(at), self.saved.input.v.add(at));
            transpose(self.loops, k, heads * d, n, d, self.keys.k_transposed.add(slot));
            transpose(self.loops, v, heads * d, n, d, self.keys.v_transposed.add(slot));
        }
    }

    /// Writes the gradients of a tile of keys.
    ///
    /// # Safety
    /// The gradients hold the segment, nothing else accesses them there; the slot is filled.
    unsafe fn store_keys(&self, segment: Segment, head: usize, key: usize, slot: usize) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head_kv);
        let n = (segment.len - key).min(TILE);
        let at = ((segment.start + key) * heads + head) * d;
        let slot = slot * self.tile_len();
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
}
