//! Attention, a tile of queries at a time: [`Lowering::attention`](crate::ops::lowering::Lowering).
//!
//! Scores exist for one tile of queries, all its heads and the keys that it sees; the backward pass
//! computes them again. So their memory grows with the length of a sequence, not with its square; that
//! of the masks, one number for a query and a key, does grow with the square.

use cutq_kernels::Segment;

use super::Portable;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ops::attention::{Attention, Mask, QUERIES, Tile, tiles};
use crate::ops::tape::{Tape, Var};

/// A tile's queries, keys and values, `d` the width of a head: nodes of shape (d, n, heads), without
/// gaps.
struct TileNodes<'g> {
    /// Keys, counted from the sequence's first.
    first_key: usize,
    q: Node<'g>,
    k: Node<'g>,
    v: Node<'g>,
    /// Softmax of the scores, (keys, queries, heads).
    p: Node<'g>,
}

/// Nodes of a graph with the attention of `segments`, forward and backward, at most.
pub(super) fn capacity(segments: &[Segment]) -> usize {
    64 * segments.iter().map(|s| s.len.div_ceil(QUERIES)).sum::<usize>()
}

/// With `o = p v`, per head: `dv = pᵀ do`, `dp = do vᵀ`, `ds = p (dp − Σ p·dp)`,
/// `dq = scale · ds k`, `dk = scale · dsᵀ q`; `dk` and `dv` sum over the heads that share them.
pub(super) fn attention<'g>(
    by: Portable,
    tape: &mut Tape<'g>,
    qkv: [Var<'g>; 3],
    attention: &Attention<'g>,
) -> Var<'g> {
    let g = tape.graph;
    let nodes = qkv.map(|x| x.node);
    attention.check(nodes);
    let [d, h, n_tokens, _] = nodes[0].ne();
    let of = attention.clone();
    let make = move || {
        let tiles = of.segments.iter().flat_map(|s| of.tiles(g, nodes, s));
        let outputs = tiles.map(|tile| {
            let out = by.mul_transposed(g, tile.v, tile.p);
            g.cont_2d(g.swap_outer(out), d * h)
        });
        g.concat(outputs.collect(), 1)
    };
    let y = g.reshape(tape.save([d * h, n_tokens], make), [d * h, n_tokens, 1]);
    let of = attention.clone();
    tape.record(y, &qkv, move |dy| {
        let dy = g.reshape(dy, [d, h, n_tokens]);
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for segment in &of.segments {
            let of_segment = of.segment_gradient(by, g, nodes, segment, dy);
            for (all, one) in parts.iter_mut().zip(of_segment) {
                all.push(one);
            }
        }
        parts.into_iter().map(|part| g.concat(part, 2)).collect()
    })
}

impl<'g> Attention<'g> {
    /// The tiles of a sequence, in order.
    fn tiles(&self, g: &'g Graph, [q, k, v]: [Node<'g>; 3], at: &Segment) -> Vec<TileNodes<'g>> {
        let heads = |x, start, len| g.swapped(g.slice_outer(x, at.start + start, len));
        let window = self.shape.window;
        let nodes = |tile: Tile| {
            let q = heads(q, tile.queries.start, tile.queries.len());
            let [k, v] = [k, v].map(|x| heads(x, tile.keys.start, tile.keys.len()));
            let mask = self.masks[&Mask::new(&tile, window)];
            let p = g.soft_max(g.mul_mat(k, q), Some(mask), self.shape.scale);
            TileNodes { first_key: tile.keys.start, q, k, v, p }
        };
        tiles(at.len, window).map(nodes).collect()
    }

    /// dq, dk and dv of a sequence, each of shape (d, heads, tokens).
    fn segment_gradient(
        &self,
        by: Portable,
        g: &'g Graph,
        qkv: [Node<'g>; 3],
        at: &Segment,
        dy: Node<'g>,
    ) -> [Node<'g>; 3] {
        let tiles = self.tiles(g, qkv, at);
        let (mut dqs, mut dkv) = (Vec::new(), None);
        let mut first = 0;
        for tile in &tiles {
            let n = tile.q.ne()[1];
            let d_out = g.swapped(g.slice_outer(dy, at.start + first, n));
            let [dq, dk, dv] = tile.gradient(by, g, d_out, self.shape.scale);
            dqs.push(g.swapped(dq));
            dkv = Some(match dkv {
                None if tiles.len() == 1 => [dk, dv],
                sums => {
                    let zero =
                        |x| g.affine(g.swapped(g.slice_outer(x, at.start, at.len)), 0.0, 0.0);
                    let [sum_k, sum_v] = sums.unwrap_or_else(|| [zero(qkv[1]), zero(qkv[2])]);
                    let add = |sum, part| g.add_to_rows(sum, part, tile.first_key);
                    [add(sum_k, dk), add(sum_v, dv)]
                }
            });
            first += n;
        }
        let [dk, dv] = dkv.expect("a sequence has tokens").map(|x| g.swapped(x));
        [g.concat(dqs, 2), dk, dv]
    }
}

impl<'g> TileNodes<'g> {
    /// dq, dk and dv, each of shape (d, n, heads).
    fn gradient(&self, by: Portable, g: &'g Graph, d_out: Node<'g>, scale: f32) -> [Node<'g>; 3] {
        let dp = g.mul_mat(self.v, d_out);
        let weighted = g.sum_rows(g.mul(dp, self.p));
        let ds = g.affine(g.mul(g.sub(dp, weighted), self.p), scale, 0.0);
        let dq = by.mul_transposed(g, self.k, ds);
        let n_kv = self.k.ne()[2];
        let over_queries = |x, w| sum_over_queries(by, g, x, w, n_kv);
        [dq, over_queries(self.q, ds), over_queries(d_out, self.p)]
    }
}

/// `out[d, key] = Σ x[d, query] · w[key, query]`, over the queries of all heads that share the key.
///
/// Heads that share keys lie next to each other, so that they merge with the queries into one
/// long dimension to sum over.
fn sum_over_queries<'g>(
    by: Portable,
    g: &'g Graph,
    x: Node<'g>,
    w: Node<'g>,
    n_kv: usize,
) -> Node<'g> {
    let merged = |a: Node<'g>| {
        let [n0, n1, heads, _] = a.ne();
        g.reshape(a, [n0, n1 * heads / n_kv, n_kv])
    };
    by.sum_of_outer(g, merged(x), merged(w))
}
