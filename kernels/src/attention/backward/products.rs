//! The five matrix products of a tile.

use super::{Backward, Tile};
use crate::attention::band::Band;
use crate::attention::softmax::{Row, Saved};
use crate::attention::tile::{copy_rows, strips};
use crate::attention::{LANES, TILE};
use crate::generic::Gemm;

/// Rows of a partly visible tile that are multiplied at a time.
const STRIP: usize = 16;

impl Backward {
    /// Copies a tile's queries and makes its probabilities and the gradient of its scores.
    ///
    /// # Safety
    /// The tensors hold the tile, whose keys are loaded and whose deltas are made.
    pub(super) unsafe fn scores(&self, tile: Tile) {
        let (d, heads, row) = (self.shape.head_dim, self.shape.n_head, self.shape.row());
        let (n, n_keys) = tile.sizes();
        let mut saved = Saved { lse: [0.0; TILE], delta: [0.0; TILE] };
        // SAFETY: `n` rows of the tensors; the buffers have room for a block.
        unsafe {
            let at = (tile.segment.start + tile.query) * heads + tile.head;
            let dout = self.saved.dout.add(at * d);
            copy_rows(self.input.q.add(at * d), heads * d, n, d, self.queries.q, row);
            copy_rows(dout, heads * d, n, d, self.queries.dout, row);
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
                a: self.queries.q,
                a_row: row,
                a_depth: 1,
                b: self.keys.k_transposed,
                b_row: TILE,
                c: self.scores,
                c_row: TILE,
                add: false,
            };
            self.visible_rows(product, band);
            let (a, b, c) = (self.queries.dout, self.keys.v_transposed, self.dscores);
            self.visible_rows(Gemm { a, b, c, ..product }, band);
            let scores = std::slice::from_raw_parts_mut(self.scores.cast::<Row>(), n);
            let dscores = std::slice::from_raw_parts_mut(self.dscores.cast::<Row>(), n);
            (self.generic.backward)(scores, dscores, lanes, self.shape.scale, band, &saved);
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
                (self.generic.gemm)(&Gemm {
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
    /// The tile's scores are made.
    pub(super) unsafe fn key_products(&self, tile: Tile, add: bool) {
        let row = self.shape.row();
        let (n, n_keys) = tile.sizes();
        let band = tile.band(&self.shape);
        for lanes in strips(n_keys, band, STRIP) {
            let rows = band.map_or(0..n, |band| band.rows(lanes.clone(), n));
            for (a, b, c) in [
                (self.scores, self.queries.dout, self.keys.dv),
                (self.dscores, self.queries.q, self.keys.dk),
            ] {
                // SAFETY: the strip lies in the tile and in the buffers.
                unsafe {
                    (self.generic.gemm)(&Gemm {
                        rows: lanes.len(),
                        depth: rows.len(),
                        columns: row,
                        a: a.add(rows.start * TILE + lanes.start),
                        a_row: 1,
                        a_depth: TILE,
                        b: b.add(rows.start * row),
                        b_row: row,
                        c: c.add(lanes.start * row),
                        c_row: row,
                        add,
                    });
                }
            }
        }
    }

    /// `dq[i] (+)= Σ_j ds[i, j] k[j]`, overwriting at the first keys that the block sees.
    ///
    /// # Safety
    /// The tile's scores are made, and nothing else accesses `dq`.
    pub(super) unsafe fn query_products(&self, tile: Tile) {
        let (d, heads, row) = (self.shape.head_dim, self.shape.n_head, self.shape.row());
        let (n, n_keys) = tile.sizes();
        let band = tile.band(&self.shape);
        for rows in strips(n, band, STRIP) {
            let lanes = band.map_or(0..n_keys, |band| band.lanes(rows.clone(), n_keys));
            // SAFETY: the strip lies in the tile and in the buffers.
            unsafe {
                (self.generic.gemm)(&Gemm {
                    rows: rows.len(),
                    depth: lanes.len(),
                    columns: row,
                    a: self.dscores.add(rows.start * TILE + lanes.start),
                    a_row: TILE,
                    a_depth: 1,
                    b: self.keys.k.add(lanes.start * row),
                    b_row: row,
                    c: self.queries.dq.add(rows.start * row),
                    c_row: row,
                    add: false,
                });
            }
        }
        let first = tile.key == self.shape.first_tile(tile.query);
        for i in 0..n {
            let at = (tile.segment.start + tile.query + i) * heads + tile.head;
            // SAFETY: a row of the tile's queries, which this thread alone accesses.
            let (from, to) = unsafe {
                (
                    std::slice::from_raw_parts(self.queries.dq.add(i * row), d),
                    self.gradient.dq.add(at * d),
                )
            };
            // SAFETY: as above; what is added to was written at the first keys.
            unsafe {
                if first {
                    std::ptr::copy_nonoverlapping(from.as_ptr(), to, d);
                } else {
                    let to = std::slice::from_raw_parts_mut(to, d);
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
            }
        }
    }
}
