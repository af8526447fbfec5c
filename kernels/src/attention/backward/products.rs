//! The five matrix products of a tile.

use super::buffers::Backward;
use super::tile::Tile;
use crate::attention::band::Band;
use crate::attention::shape::Segment;
use crate::attention::tile::{strips, whole_rows};
use crate::loops::tile_softmax::{Row, Saved, TILE};
use crate::loops::{Gemm, LANES, Matrix};

/// Rows of a partly visible tile that are multiplied at a time.
const STRIP: usize = 16;

impl Backward {
    /// `q` and `dout` of a tile of queries.
    ///
    /// # Safety
    /// The tensors hold the tile.
    pub(super) unsafe fn rows(
        &self,
        segment: Segment,
        head: usize,
        query: usize,
    ) -> (Matrix, Matrix) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head);
        let at = ((segment.start + query) * heads + head) * d;
        let n = (segment.len - query).min(TILE);
        let rows = |tensor: *const f32, copy| {
            // SAFETY: rows of the tensor, which are only read; the buffers have room for a tile.
            unsafe {
                let rows = Matrix { data: tensor.add(at).cast_mut(), row: heads * d };
                whole_rows(rows, n, d, copy)
            }
        };
        (rows(self.saved.input.q, self.queries.q), rows(self.saved.dout, self.queries.dout))
    }

    /// Makes a tile's probabilities and the gradient of its scores.
    ///
    /// # Safety
    /// The tensors hold the tile, whose keys are loaded and whose deltas are made; `q` and `dout`
    /// are its [`Backward::rows`].
    pub(super) unsafe fn scores(&self, tile: Tile, q: Matrix, dout: Matrix) {
        let (d, heads) = (self.shape.head_dim, self.shape.n_head);
        let (n, n_keys) = tile.sizes();
        let mut saved = Saved { lse: [0.0; TILE], delta: [0.0; TILE] };
        // SAFETY: `n` rows of the tensors and of the tile.
        unsafe {
            let at = (tile.segment.start + tile.query) * heads + tile.head;
            let delta = tile.head % self.shape.group() * tile.segment.len + tile.query;
            for i in 0..n {
                saved.lse[i] = *self.saved.lse.add(at + i * heads);
                saved.delta[i] = *self.delta.add(delta + i);
            }
            let lanes = n_keys.next_multiple_of(LANES);
            let band = tile.band(&self.shape);
            let product = Gemm {
                rows: n,
                depth: d,
                columns: lanes,
                a: q.data,
                a_row: q.row,
                a_depth: 1,
                b: self.keys.k_transposed.add(tile.slot * self.tile_len()),
                b_row: TILE,
                c: self.scores,
                c_row: TILE,
                add: false,
                factors: None,
            };
            self.visible_rows(product, band);
            let b = self.keys.v_transposed.add(tile.slot * self.tile_len());
            let (a, a_row, c) = (dout.data, dout.row, self.dscores);
            self.visible_rows(Gemm { a, a_row, b, c, ..product }, band);
            let scores = std::slice::from_raw_parts_mut(self.scores.cast::<Row>(), n);
            let dscores = std::slice::from_raw_parts_mut(self.dscores.cast::<Row>(), n);
            if let Some(band) = band {
                band.hide(scores, lanes, f32::NEG_INFINITY);
                band.hide(dscores, lanes, 0.0);
            }
            (self.loops.tile_softmax_backward)(scores, dscores, lanes, self.shape.scale, &saved);
        }
    }

    /// A product that makes the visible part of a tile.
    ///
    /// # Safety
    /// The operands are valid.
    unsafe fn visible_rows(&self, product: Gemm, band: Option<Band>) {
        for rows in strips(product.rows, band, STRIP) {
            let lanes = band.map_or(0..product.columns, |b| b.lanes(rows.clone(), product.columns));
            // SAFETY: a part of the product.
            unsafe {
                (self.loops.gemm)(&Gemm {
                    rows: rows.len(),
                    columns: lanes.len(),
                    a: product.a.add(rows.start * product.a_row),
                    b: product.b.add(lanes.start),
                    c: product.c.add(rows.start * product.c_row + lanes.start),
                    ..product
                });
            }
        }
    }

    /// `dv[j] (+)= Σ_i p[i, j] dout[i]` and `dk[j] (+)= Σ_i ds[i, j] q[i]`.
    ///
    /// # Safety
    /// The tile's scores are made; `q` and `dout` are its [`Backward::rows`].
    pub(super) unsafe fn key_products(&self, tile: Tile, q: Matrix, dout: Matrix, add: bool) {
        let row = self.shape.row();
        let (n, n_keys) = tile.sizes();
        let band = tile.band(&self.shape);
        for lanes in strips(n_keys, band, STRIP) {
            let rows = band.map_or(0..n, |band| band.rows(lanes.clone(), n));
            for (a, b, c) in [(self.scores, dout, self.keys.dv), (self.dscores, q, self.keys.dk)] {
                // SAFETY: the strip lies in the tile and in the buffers.
                unsafe {
                    (self.loops.gemm)(&Gemm {
                        rows: lanes.len(),
                        depth: rows.len(),
                        columns: row,
                        a: a.add(rows.start * TILE + lanes.start),
                        a_row: 1,
                        a_depth: TILE,
                        b: b.data.add(rows.start * b.row),
                        b_row: b.row,
                        c: c.add(tile.slot * self.tile_len() + lanes.start * row),
                        c_row: row,
                        add,
                        factors: None,
                    });
                }
            }
        }
    }

    /// `dq[i] (+)= Σ_j ds[i, j] k[j]`, overwriting at the first keys that the tile sees.
    ///
    /// # Safety
    /// The tensors hold the tile, its scores are made, and nothing else accesses `dq`.
    pub(super) unsafe fn query_products(&self, tile: Tile) {
        let (d, heads, heads_kv) = (self.shape.head_dim, self.shape.n_head, self.shape.n_head_kv);
        let (n, n_keys) = tile.sizes();
        let band = tile.band(&self.shape);
        let at = ((tile.segment.start + tile.query) * heads + tile.head) * d;
        let key = (tile.segment.start + tile.key) * heads_kv + tile.head / self.shape.group();
        let first = tile.key == self.shape.first_tile(tile.query);
        // SAFETY: rows of the tile's queries and keys; this thread alone accesses the former.
        unsafe {
            let dq = Matrix { data: self.gradient.dq.add(at), row: heads * d };
            let k = Matrix { data: self.saved.input.k.add(key * d).cast_mut(), row: heads_kv * d };
            let k = whole_rows(k, n_keys, d, self.keys.k);
            let whole = d.is_multiple_of(LANES);
            let sums = Matrix { data: self.queries.dq, row: self.shape.row() };
            let c = if whole { dq } else { sums };
            for rows in strips(n, band, STRIP) {
                let lanes = band.map_or(0..n_keys, |band| band.lanes(rows.clone(), n_keys));
                (self.loops.gemm)(&Gemm {
                    rows: rows.len(),
                    depth: lanes.len(),
                    columns: self.shape.row(),
                    a: self.dscores.add(rows.start * TILE + lanes.start),
                    a_row: TILE,
                    a_depth: 1,
                    b: k.data.add(lanes.start * k.row),
                    b_row: k.row,
                    c: c.data.add(rows.start * c.row),
                    c_row: c.row,
                    add: whole && !first,
                    factors: None,
                });
            }
            if !whole {
                add_rows(sums, dq, (n, d), !first);
            }
        }
    }
}

/// Adds rows to others, or overwrites those.
///
/// # Safety
/// Both have `rows` rows of `columns` elements; nothing else accesses `to`.
unsafe fn add_rows(from: Matrix, to: Matrix, (rows, columns): (usize, usize), add: bool) {
    for i in 0..rows {
        for x in 0..columns {
            // SAFETY: in row `i` of both; what is added to was written before.
            unsafe {
                let (from, to) = (*from.data.add(i * from.row + x), to.data.add(i * to.row + x));
                to.write(if add { *to + from } else { from });
            }
        }
    }
}
