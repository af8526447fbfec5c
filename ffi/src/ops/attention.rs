//! Causal grouped-query attention over packed sequences.

use crate::graph::{Graph, Node};
use crate::tape::{Tape, Var};

/// One sequence of the pack: its tokens and its mask.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'g> {
    /// First token in the pack.
    pub start: usize,
    /// Number of tokens.
    pub len: usize,
    /// (len, len), 0 where a query sees a key, −∞ elsewhere.
    pub mask: Node<'g>,
}

/// One sequence's queries, keys, values and attention weights.
///
/// `n` tokens, `h` query heads of which `r` share one of `k` key heads, `d` their width.
#[derive(Clone, Copy)]
struct Head<'g> {
    /// (d, n, h)
    q: Node<'g>,
    /// (d, n, k)
    k: Node<'g>,
    /// (d, n, k)
    v: Node<'g>,
    /// Softmax of the scores, (keys n, queries n, h).
    p: Node<'g>,
}

impl<'g> Tape<'g> {
    /// `softmax(scale · qᵀk + mask) v` for each sequence: no token sees another sequence.
    ///
    /// `q` is of shape (d, h, tokens), `k` and `v` of (d, k, tokens), the result of (d·h, tokens).
    ///
    /// With `o = p v`, per head: `dv = pᵀ do`, `dp = do vᵀ`, `ds = p (dp − Σ p·dp)`,
    /// `dq = scale · ds k`, `dk = scale · dsᵀ q`; `dk` and `dv` sum over the heads that share them.
    pub fn attention(
        &mut self,
        [q, k, v]: [Var<'g>; 3],
        segments: &[Segment<'g>],
        scale: f32,
    ) -> Var<'g> {
        let g = self.graph;
        let [d, h, n_tokens, _] = q.node.ne();
        let heads: Vec<Head<'g>> =
            segments.iter().map(|s| head(g, [q.node, k.node, v.node], s, scale)).collect();
        let outputs = heads.iter().map(|head| tokens_last(g, output(g, head))).collect();
        let y = g.reshape(g.concat(outputs), [d * h, n_tokens, 1]);
        let segments = segments.to_vec();
        self.record(y, &[q, k, v], move |dy| {
            let dy = g.reshape(dy, [d, h, n_tokens]);
            let mut parts = [Vec::new(), Vec::new(), Vec::new()];
            for (head, segment) in heads.iter().zip(&segments) {
                let d_out = heads_last(g, g.slice(dy, segment.start, segment.len));
                for (all, one) in parts.iter_mut().zip(gradient(g, head, d_out, scale)) {
                    all.push(tokens_last(g, one));
                }
            }
            parts.into_iter().map(|part| g.concat(part)).collect()
        })
    }
}

/// (d, heads, n) → (d, n, heads), copied.
fn heads_last<'g>(g: &'g Graph, x: Node<'g>) -> Node<'g> {
    g.cont(g.permute(x, [0, 2, 1, 3]))
}

/// (d, n, heads) → (d, heads, n), copied.
fn tokens_last<'g>(g: &'g Graph, x: Node<'g>) -> Node<'g> {
    heads_last(g, x)
}

fn head<'g>(g: &'g Graph, qkv: [Node<'g>; 3], segment: &Segment<'g>, scale: f32) -> Head<'g> {
    let [q, k, v] = qkv.map(|x| heads_last(g, g.slice(x, segment.start, segment.len)));
    let p = g.soft_max(g.mul_mat(k, q), segment.mask, scale);
    Head { q, k, v, p }
}

/// o, of shape (d, n, h).
fn output<'g>(g: &'g Graph, head: &Head<'g>) -> Node<'g> {
    g.mul_mat(g.transpose(head.v), head.p)
}

/// dq, dk and dv, each of shape (d, n, heads).
fn gradient<'g>(g: &'g Graph, head: &Head<'g>, d_out: Node<'g>, scale: f32) -> [Node<'g>; 3] {
    let dp = g.mul_mat(head.v, d_out);
    let weighted = g.sum_rows(g.mul(dp, head.p));
    let ds = g.affine(g.mul(g.sub(dp, weighted), head.p), scale, 0.0);
    let dq = g.mul_mat(g.transpose(head.k), ds);
    let n_kv = head.k.ne()[2];
    let dk = sum_over_queries(g, head.q, ds, n_kv);
    let dv = sum_over_queries(g, d_out, head.p, n_kv);
    [dq, dk, dv]
}

/// `out[d, key] = Σ over queries, and over the heads that share the key, of x[d, query] · w[key, query]`.
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
