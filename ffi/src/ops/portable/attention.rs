//! Attention, a tile of queries at a time: [`Lowering::attention`](crate::ops::lowering::Lowering).
//!
//! Scores exist for one tile of queries, all its heads and the keys that it sees; the backward pass
//! computes them again. So memory grows with the length of a sequence, not with its square.

use cutq_kernels::Segment;

use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ops::attention::Attention;
use crate::ops::tape::{Tape, Var};

/// Queries of a tile.
const QUERIES: usize = 256;

/// Some queries of a sequence and the keys that they see, `d` the width of a head.
///
/// Nodes are of shape (d, n, heads), without gaps.
struct Tile<'g> {
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
    tape: &mut Tape<'g>,
    qkv: [Var<'g>; 3],
    attention: &Attention,
) -> Var<'g> {
    let g = tape.graph;
    let nodes = qkv.map(|x| x.node);
    attention.check(nodes);
    let [d, h, n_tokens, _] = nodes[0].ne();
    let of = attention.clone();
    let make = move || {
        let tiles = of.segments.iter().flat_map(|s| of.tiles(g, nodes, s));
        let outputs = tiles.map(|tile| {
            let out = g.mul_mat(g.transpose(tile.v), tile.p);
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
            let of_segment = of.segment_gradient(g, nodes, segment, dy);
            for (all, one) in parts.iter_mut().zip(of_segment) {
                all.push(one);
            }
        }
        parts.into_iter().map(|part| g.concat(part, 2)).collect()
    })
}

impl Attention {
    /// The tiles of a sequence, in order.
    fn tiles<'g>(&self, g: &'g Graph, [q, k, v]: [Node<'g>; 3], at: &Segment) -> Vec<Tile<'g>> {
        let heads = |x, start, len| g.swapped(g.slice_outer(x, at.start + start, len));
        let firsts = (0..at.len).step_by(QUERIES);
        let tile = |first: usize| {
            let end = (first + QUERIES).min(at.len);
            let first_key = self.first_key(first);
            let q = heads(q, first, end - first);
            let [k, v] = [k, v].map(|x| heads(x, first_key, end - first_key));
            let mask = self.mask(first..end, first_key..end);
            let mask = g.input([end - first_key, end - first], mask);
            let p = g.soft_max(g.mul_mat(k, q), Some(mask), self.shape.scale);
            Tile { first_key, q, k, v, p }
        };
        firsts.map(tile).collect()
    }

    /// The first key that a query sees.
    fn first_key(&self, query: usize) -> usize {
        self.shape.window.map_or(0, |window| (query + 1).saturating_sub(window))
    }

    /// 0 where a query sees a key, −∞ elsewhere; a row per query.
    fn mask(&self, queries: std::ops::Range<usize>, keys: std::ops::Range<usize>) -> Vec<f32> {
        let row = |query| {
            let seen = self.first_key(query)..query + 1;
            keys.clone().map(move |key| if seen.contains(&key) { 0.0 } else { f32::NEG_INFINITY })
        };
        queries.flat_map(row).collect()
    }

    /// dq, dk and dv of a sequence, each of shape (d, heads, tokens).
    fn segment_gradient<'g>(
        &self,
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
            let [dq, dk, dv] = tile.gradient(g, d_out, self.shape.scale);
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

impl<'g> Tile<'g> {
    /// dq, dk and dv, each of shape (d, n, heads).
    fn gradient(&self, g: &'g Graph, d_out: Node<'g>, scale: f32) -> [Node<'g>; 3] {
        let dp = g.mul_mat(self.v, d_out);
        let weighted = g.sum_rows(g.mul(dp, self.p));
        let ds = g.affine(g.mul(g.sub(dp, weighted), self.p), scale, 0.0);
        let dq = g.mul_mat(g.transpose(self.k), ds);
        let n_kv = self.k.ne()[2];
        [dq, sum_over_queries(g, self.q, ds, n_kv), sum_over_queries(g, d_out, self.p, n_kv)]
    }
}

/// `out[d, key] = Σ x[d, query] · w[key, query]`, over the queries of all heads that share the key.
///
/// Heads that share keys lie next to each other, so that they merge with the queries into one
/// long dimension to sum over.
fn sum_over_queries<'g>(g: &'g Graph, x: Node<'g>, w: Node<'g>, n_kv: usize) -> Node<'g> {
    let merged = |a: Node<'g>| {
        let [n0, n1, heads, _] = a.ne();
        g.transpose(g.reshape(a, [n0, n1 * heads / n_kv, n_kv]))
    };
    g.mul_mat(merged(x), merged(w))
}
