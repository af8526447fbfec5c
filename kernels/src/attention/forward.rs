//! The forward pass: one tile of queries of one head against all keys that it sees.

use std::f64::consts::LN_2;
use std::ops::Range;

use super::band::Band;
use super::schedule::{AttentionSchedule, QueryTile};
use super::shape::{AttentionShape, PAGE};
use super::tensors::{AttentionInput, AttentionOutput};
use super::tile::{Buffers, strips, transpose, whole_rows};
use crate::kernels::Kernels;
use crate::loops::tile_softmax::{Row, Running, TILE};
use crate::loops::{Gemm, LANES, Loops, Matrix};
use crate::scratch::Scratch;

/// Keys of a partly visible tile whose scores are made at a time: two vectors, as fewer sums would
/// wait for each other.
const STRIP: usize = 32;

/// Queries of a partly visible tile whose outputs are made at a time: two register tiles.
const QUERY_STRIP: usize = 12;

impl Kernels {
    /// Causal attention inside each segment: the tasks `tasks` of [`AttentionSchedule::forward`].
    ///
    /// `out[i] = Σ_j p[i, j] v[j]`, `p[i, ·] = softmax_j(scale · q[i] · k[j])`,
    /// `lse[i] = ln Σ_j exp(scale · q[i] · k[j])`, over the keys `j <= i` of the segment, with a
    /// window `w` only those with `i - j < w`.
    ///
    /// Threads call this with tasks and `scratch` of their own. No task needs a zeroed output, and
    /// who does which does not change a bit of it. Tokens outside all segments are left alone.
    /// Within `1e-5` of `f64`, relative to the largest `|v|` (`out`) and to
    /// `1 + Σ_d |scale · q k|` (`lse`).
    ///
    /// A NaN or infinity reaches all that depends on it by the formula; as `0 · NaN` is NaN, one in
    /// `v` may also reach up to 63 queries before it.
    ///
    /// # Panics
    /// If there are no such tasks.
    ///
    /// # Safety
    /// - Every token of the segments lies in all tensors, which are contiguous with the shapes
    ///   that [`AttentionInput`] and [`AttentionOutput`] state; no token is in two segments. Of a
    ///   schedule by [`AttentionSchedule::kept`], keys and values are the kept ones.
    /// - During the call nothing writes to the input, and nothing but other tasks accesses the
    ///   output; no task is done twice at the same time.
    pub unsafe fn attention(
        &self,
        schedule: &AttentionSchedule,
        tasks: Range<usize>,
        input: AttentionInput,
        output: AttentionOutput,
        scratch: &mut Scratch,
    ) {
        let shape = schedule.shape;
        let row = shape.row();
        let mut buffers = Buffers::new(scratch, 3 * row * TILE + TILE * TILE);
        let forward = Forward {
            loops: self.loops,
            shape,
            pages: &schedule.pages,
            input,
            output,
            q: buffers.take(row * TILE),
            scores: buffers.take(TILE * TILE),
            v: buffers.take(TILE * row),
            out: buffers.take(row * TILE),
        };
        for &tile in &schedule.forward[tasks] {
            // SAFETY: tasks hold only queries of the segments; the rest is the contract.
            unsafe { forward.queries(tile) };
        }
    }
}

/// The tensors of a call and this thread's buffers.
struct Forward<'a> {
    loops: &'static Loops,
    shape: AttentionShape,
    pages: &'a [usize],
    input: AttentionInput,
    output: AttentionOutput,
    /// `(D, 64)`, the queries.
    q: *mut f32,
    /// `(64, 64)`, scores and probabilities; rows are keys.
    scores: *mut f32,
    /// `(64, D)`, the values where they are copied.
    v: *mut f32,
    /// `(64, D)`, the output before the division by the sum.
    out: *mut f32,
}

/// The queries of a tile's lanes, as rows of `(T · H, D)`.
#[derive(Clone, Copy)]
struct LaneRows {
    first: usize,
    /// From one lane to the next: a token, or a head.
    step: usize,
}

impl Forward<'_> {
    /// A tile of queries.
    ///
    /// # Safety
    /// The tensors hold its queries and its segment's pages, and nothing else accesses the outputs of
    /// the tile.
    unsafe fn queries(&self, tile: QueryTile) {
        let (shape, d) = (&self.shape, self.shape.head_dim);
        let QueryTile { query, n_queries, .. } = tile;
        let n = n_queries * tile.n_heads;
        let lanes = n.next_multiple_of(LANES);
        let rows = self.rows(tile);
        let single = n_queries == 1;
        let end = query + n_queries;
        let mut running = Running::new();
        // SAFETY: rows of the segment; the buffers have room for a tile.
        unsafe {
            let q = self.input.q.add(rows.first * d);
            transpose(self.loops, q, rows.step * d, n, d, self.q);
            let first = shape.first_tile(query);
            for key in (first..end).step_by(TILE) {
                // Every lane of a single query sees the same keys.
                let hidden = if single { shape.first_key(query).saturating_sub(key) } else { 0 };
                let n_keys = (end - key).min(TILE) - hidden;
                let band = Band::of_queries(query, key, shape.window);
                let band = (!single && !band.is_full(n_keys, lanes)).then_some(band);
                let token = self.pages[tile.pages + key / PAGE] + hidden;
                let offset = token * shape.n_head_kv + tile.head / shape.group();
                self.scores(offset * d, n_keys, lanes, band);
                let scores = std::slice::from_raw_parts_mut(self.scores.cast::<Row>(), n_keys);
                if let Some(band) = band {
                    band.hide(scores, lanes, f32::NEG_INFINITY);
                }
                (self.loops.tile_softmax)(scores, lanes, shape.scale, &mut running);
                let factors = (key > first).then_some(&running.factor);
                self.values(offset * d, (n_keys, n), band, factors);
            }
            self.finish(rows, n, &running);
        }
    }

    /// Where a tile's lanes are.
    fn rows(&self, QueryTile { head, n_queries, token, .. }: QueryTile) -> LaneRows {
        let n_head = self.shape.n_head;
        LaneRows { first: token * n_head + head, step: if n_queries == 1 { 1 } else { n_head } }
    }

    /// `scores[j, i] = Σ_d k[j, d] q[d, i]`, where visible.
    ///
    /// # Safety
    /// `rows` keys at `offset` exist.
    unsafe fn scores(&self, offset: usize, rows: usize, lanes: usize, band: Option<Band>) {
        let stride = self.shape.n_head_kv * self.shape.head_dim;
        for rows in strips(rows, band, STRIP) {
            let lanes = band.map_or(0..lanes, |band| band.lanes(rows.clone(), lanes));
            // SAFETY: the strip lies in the keys and in the tile.
            unsafe {
                (self.loops.gemm)(&Gemm {
                    rows: rows.len(),
                    depth: self.shape.head_dim,
                    columns: lanes.len(),
                    a: self.input.k.add(offset + rows.start * stride),
                    a_row: stride,
                    a_depth: 1,
                    b: self.q.add(lanes.start),
                    b_row: TILE,
                    c: self.scores.add(rows.start * TILE + lanes.start),
                    c_row: TILE,
                    add: false,
                    factors: None,
                });
            }
        }
    }

    /// `out[i, d] = factors[i] out[i, d] + Σ_j p[j, i] v[j, d]` for `n` queries, over the visible
    /// among `n_keys`; overwrites without factors.
    ///
    /// # Safety
    /// `n_keys` values at `offset` exist.
    unsafe fn values(
        &self,
        offset: usize,
        (n_keys, n): (usize, usize),
        band: Option<Band>,
        factors: Option<&Row>,
    ) {
        let (d, row) = (self.shape.head_dim, self.shape.row());
        // SAFETY: the strip lies in the values and in the tile.
        unsafe {
            let v = self.input.v.add(offset).cast_mut();
            let v = Matrix { data: v, row: self.shape.n_head_kv * d };
            let v = whole_rows(v, n_keys, d, self.v);
            for queries in strips(n, band, QUERY_STRIP) {
                let keys = band.map_or(0..n_keys, |band| band.rows(queries.clone(), n_keys));
                (self.loops.gemm)(&Gemm {
                    rows: queries.len(),
                    depth: keys.len(),
                    columns: row,
                    a: self.scores.add(keys.start * TILE + queries.start),
                    a_row: 1,
                    a_depth: TILE,
                    b: v.data.add(keys.start * v.row),
                    b_row: v.row,
                    c: self.out.add(queries.start * row),
                    c_row: row,
                    add: factors.is_some(),
                    factors: factors.map(|factors| factors.as_ptr().add(queries.start)),
                });
            }
        }
    }

    /// Divides by the sums and writes `n` lanes.
    ///
    /// # Safety
    /// The tensors hold their queries, and nothing else accesses their outputs.
    unsafe fn finish(&self, rows: LaneRows, n: usize, running: &Running) {
        let d = self.shape.head_dim;
        for i in 0..n {
            let at = rows.first + i * rows.step;
            let lse = f64::from(running.max[i]) * LN_2 + f64::from(running.sum[i]).ln();
            let factor = 1.0 / running.sum[i];
            // SAFETY: query `i` of the output, row `i` of the buffer.
            unsafe {
                self.output.lse.add(at).write(lse as f32);
                let from = self.out.add(i * self.shape.row());
                let to = self.output.out.add(at * d);
                for x in 0..d {
                    to.add(x).write(*from.add(x) * factor);
                }
            }
        }
    }
}
