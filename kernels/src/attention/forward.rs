//! The forward pass: one block of queries of one head against all keys that it sees.

use super::band::Band;
use super::softmax::{Row, Running};
use super::tile::{Buffers, copy_rows, strips, transpose};
use super::{AttentionInput, AttentionOutput, AttentionShape, LANES, Segment, Share, TILE, plan};
use crate::generic::Gemm;
use crate::generic::Generic;
use crate::generic::Matrix;
use crate::{Kernels, Scratch};

/// Columns of a partly visible tile that are multiplied at a time: two vectors, as fewer sums would
/// wait for each other.
const STRIP: usize = 32;

/// The tensors of a call and this thread's buffers.
struct Forward {
    generic: &'static Generic,
    shape: AttentionShape,
    input: AttentionInput,
    output: AttentionOutput,
    /// `(D, 64)`, the queries.
    q: *mut f32,
    /// `(64, 64)`, scores and probabilities; rows are keys.
    scores: *mut f32,
    /// `(64, D)`, the values.
    v: *mut f32,
    /// `(D, 64)`, the output before the division by the sum.
    out: *mut f32,
}

/// This thread's share of the forward pass.
///
/// # Safety
/// As for [`Kernels::attention`].
pub(super) unsafe fn run(
    kernels: Kernels,
    shape: AttentionShape,
    segments: &[Segment],
    input: AttentionInput,
    output: AttentionOutput,
    share: Share,
    scratch: &mut Scratch,
) {
    let row = shape.row();
    let mut buffers = Buffers::new(scratch, 3 * row * TILE + TILE * TILE);
    let forward = Forward {
        generic: kernels.generic,
        shape,
        input,
        output,
        q: buffers.take(row * TILE),
        scores: buffers.take(TILE * TILE),
        v: buffers.take(TILE * row),
        out: buffers.take(row * TILE),
    };
    for (segment, head, query) in plan::forward(&shape, segments, share) {
        // SAFETY: the share holds only queries of the segments; the rest is the contract.
        unsafe { forward.block(segment, head, query) };
    }
}

impl Forward {
    /// The block of queries that begins at `query` of `segment`.
    ///
    /// # Safety
    /// The tensors hold the segment, and nothing else accesses the outputs of the block.
    unsafe fn block(&self, segment: Segment, head: usize, query: usize) {
        let shape = &self.shape;
        let d = shape.head_dim;
        let n = (segment.len - query).min(TILE);
        let lanes = n.next_multiple_of(LANES);
        let stride = shape.n_head * d;
        let mut running = Running::new();
        // SAFETY: rows of the segment; the buffers have room for a block.
        unsafe {
            let q = self.input.q.add((segment.start + query) * stride + head * d);
            transpose(self.generic, q, stride, n, d, self.q);
            let first = shape.first_tile(query);
            for key in (first..query + n).step_by(TILE) {
                let rows = (query + n - key).min(TILE);
                let band = Band::of_queries(query, key, shape.window);
                let band = (!band.is_full(rows, lanes)).then_some(band);
                let offset = (segment.start + key) * shape.n_head_kv + head / shape.group();
                self.scores(offset * d, rows, lanes, band);
                let tile = std::slice::from_raw_parts_mut(self.scores.cast::<Row>(), rows);
                let grew = (self.generic.forward)(tile, lanes, shape.scale, band, &mut running);
                if grew && key > first {
                    self.shrink(&running.factor);
                }
                self.values(offset * d, rows, lanes, band, key > first);
            }
            self.finish(segment.start + query, head, n, &running);
        }
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
                (self.generic.gemm)(&Gemm {
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
                });
            }
        }
    }

    /// `out[d, i] (+)= Σ_j v[j, d] p[j, i]`, over the visible keys.
    ///
    /// # Safety
    /// `rows` values at `offset` exist.
    unsafe fn values(
        &self,
        offset: usize,
        rows: usize,
        lanes: usize,
        band: Option<Band>,
        add: bool,
    ) {
        let (d, row) = (self.shape.head_dim, self.shape.row());
        // SAFETY: the strip lies in the values and in the tile.
        unsafe {
            copy_rows(self.input.v.add(offset), self.shape.n_head_kv * d, rows, d, self.v, row);
            for lanes in strips(lanes, band, STRIP) {
                let rows = band.map_or(0..rows, |band| band.rows(lanes.clone(), rows));
                (self.generic.gemm)(&Gemm {
                    rows: d,
                    depth: rows.len(),
                    columns: lanes.len(),
                    a: self.v.add(rows.start * row),
                    a_row: 1,
                    a_depth: row,
                    b: self.scores.add(rows.start * TILE + lanes.start),
                    b_row: TILE,
                    c: self.out.add(lanes.start),
                    c_row: TILE,
                    add,
                });
            }
        }
    }

    /// Multiplies the output of each query by its factor.
    ///
    /// # Safety
    /// The output was written for all lanes in use.
    unsafe fn shrink(&self, factor: &Row) {
        // SAFETY: the buffer has `D` rows, and nothing else accesses it.
        let rows =
            unsafe { std::slice::from_raw_parts_mut(self.out.cast::<Row>(), self.shape.head_dim) };
        for row in rows {
            for (x, factor) in row.iter_mut().zip(factor) {
                *x *= factor;
            }
        }
    }

    /// Divides by the sums and writes `n` queries.
    ///
    /// # Safety
    /// The tensors hold those queries, and nothing else accesses their outputs.
    unsafe fn finish(&self, token: usize, head: usize, n: usize, running: &Running) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head);
        let at = token * heads + head;
        for i in 0..n {
            let lse = f64::from(running.max[i]) + f64::from(running.sum[i]).ln();
            // SAFETY: query `token + i` of the output.
            unsafe { self.output.lse.add(at + i * heads).write(lse as f32) };
        }
        // SAFETY: `out` has `D` rows, the output `n` queries.
        unsafe {
            self.shrink(&running.sum.map(|sum| 1.0 / sum));
            let to = Matrix { data: self.output.out.add(at * d), row: heads * d };
            (self.generic.transpose)(Matrix { data: self.out, row: TILE }, to, (d, n));
        }
    }
}
