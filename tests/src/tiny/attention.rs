//! Causal attention with grouped keys and values and rotary positions.

use super::matrix::add_scaled;

/// Query heads, key/value heads, width of a head.
pub(super) const HEADS: usize = 4;
pub(super) const KV_HEADS: usize = 2;
pub(super) const HEAD_DIM: usize = 4;

/// Rotates neighbouring pairs of each head of `(T, heads · HEAD_DIM)` by `sign · position · θ_i`;
/// the derivative of a rotation is the rotation back.
pub(super) fn rope(x: &mut [f64], heads: usize, sign: f64) {
    for (position, row) in x.chunks_mut(heads * HEAD_DIM).enumerate() {
        for (i, pair) in row.chunks_mut(2).enumerate() {
            let theta = 100_f64.powf(-2.0 * (i % (HEAD_DIM / 2)) as f64 / HEAD_DIM as f64);
            let (sin, cos) = (sign * position as f64 * theta).sin_cos();
            let (a, b) = (pair[0], pair[1]);
            (pair[0], pair[1]) = (a * cos - b * sin, a * sin + b * cos);
        }
    }
}

/// Row `t` of head `h`.
fn head(x: &[f64], heads: usize, t: usize, h: usize) -> &[f64] {
    let start = (t * heads + h) * HEAD_DIM;
    &x[start..start + HEAD_DIM]
}

fn head_mut(x: &mut [f64], heads: usize, t: usize, h: usize) -> &mut [f64] {
    let start = (t * heads + h) * HEAD_DIM;
    &mut x[start..start + HEAD_DIM]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The query heads that share a key/value head.
fn kv_head(h: usize) -> usize {
    h / (HEADS / KV_HEADS)
}

fn scale() -> f64 {
    (HEAD_DIM as f64).sqrt().recip()
}

/// `softmax(q kᵀ / √HEAD_DIM) v` over positions `0..=t`; returns the output `(T, HEADS · HEAD_DIM)`
/// and the probabilities, one row of `t + 1` per position and head.
pub(super) fn forward(q: &[f64], k: &[f64], v: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = q.len() / (HEADS * HEAD_DIM);
    let mut out = vec![0.0; q.len()];
    let mut probs = Vec::new();
    for t in 0..n {
        for h in 0..HEADS {
            let query = head(q, HEADS, t, h);
            let mut row: Vec<f64> =
                (0..=t).map(|s| scale() * dot(query, head(k, KV_HEADS, s, kv_head(h)))).collect();
            cutq_core::log_space::log_softmax(&mut row);
            for (s, p) in row.iter_mut().enumerate() {
                *p = p.exp();
                let value = head(v, KV_HEADS, s, kv_head(h));
                add_scaled(head_mut(&mut out, HEADS, t, h), *p, value);
            }
            probs.push(row);
        }
    }
    (out, probs)
}

/// `(dq, dk, dv)`, given the forward pass's inputs and probabilities.
pub(super) fn backward(
    dout: &[f64],
    q: &[f64],
    k: &[f64],
    v: &[f64],
    probs: &[Vec<f64>],
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    for (i, row) in probs.iter().enumerate() {
        let (t, h) = (i / HEADS, i % HEADS);
        let kv = kv_head(h);
        let dout = head(dout, HEADS, t, h);
        let dprobs: Vec<f64> = (0..=t).map(|s| dot(dout, head(v, KV_HEADS, s, kv))).collect();
        let mean = dot(row, &dprobs);
        for s in 0..=t {
            let dscore = scale() * row[s] * (dprobs[s] - mean);
            add_scaled(head_mut(&mut dq, HEADS, t, h), dscore, head(k, KV_HEADS, s, kv));
            add_scaled(head_mut(&mut dk, KV_HEADS, s, kv), dscore, head(q, HEADS, t, h));
            add_scaled(head_mut(&mut dv, KV_HEADS, s, kv), row[s], dout);
        }
    }
    (dq, dk, dv)
}
