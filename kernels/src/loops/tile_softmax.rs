//! What happens to a tile of scores between the matrix products, for lanes of an array.

use std::f32::consts::LOG2_E;

use super::exp::exp2;
use super::vector::LANES;

/// Queries and keys of a tile.
pub(crate) const TILE: usize = 64;

/// A row of a tile.
pub(crate) type Row = [f32; TILE];

/// What the forward pass remembers of each query in the lanes.
#[repr(C, align(64))]
pub(crate) struct Running {
    /// Largest `scale · score / ln 2` so far.
    pub max: Row,
    /// `Σ exp(score - max)` so far.
    pub sum: Row,
    /// What earlier results are multiplied by after the last tile.
    pub factor: Row,
}

impl Running {
    pub(crate) fn new() -> Running {
        Running { max: [f32::NEG_INFINITY; TILE], sum: [0.0; TILE], factor: [1.0; TILE] }
    }
}

/// What the backward pass knows of the queries in the rows.
pub(crate) struct Saved {
    /// `ln Σ exp(score)`.
    pub lse: Row,
    /// `dout · out`.
    pub delta: Row,
}

/// Turns unscaled scores (rows are keys, the first `lanes` lanes queries) into
/// `exp(scale · score - max)` with the new running maximum.
#[inline(always)]
pub(crate) fn forward(tile: &mut [Row], lanes: usize, scale: f32, running: &mut Running) {
    let scale = scale * LOG2_E;
    // Several vectors side by side, as their maxima and sums are chains.
    if lanes == TILE {
        return forward_lanes::<TILE>(tile, 0, scale, running);
    }
    for first in (0..lanes).step_by(LANES) {
        forward_lanes::<LANES>(tile, first, scale, running);
    }
}

/// [`forward`] of `N` lanes from `first`, with a scale for powers of two.
#[inline(always)]
fn forward_lanes<const N: usize>(
    tile: &mut [Row],
    first: usize,
    scale: f32,
    running: &mut Running,
) {
    let before: [f32; N] = read(&running.max, first);
    let mut max = before;
    for row in tile.iter() {
        let scores: [f32; N] = read(row, first);
        for i in 0..N {
            let x = scores[i] * scale;
            // Passes over NaN, which the exponentials then show.
            max[i] = if x > max[i] { x } else { max[i] };
        }
    }
    // Nothing but hidden scores so far: a difference of two infinities would be NaN.
    let shift = max.map(|max| if max == f32::NEG_INFINITY { 0.0 } else { max });
    let mut sum = [0.0; N];
    for row in tile.iter_mut() {
        let mut p: [f32; N] = read(row, first);
        for i in 0..N {
            p[i] = exp2(p[i].mul_add(scale, -shift[i]));
            sum[i] += p[i];
        }
        row[first..first + N].copy_from_slice(&p);
    }
    for i in 0..N {
        let factor = exp2(before[i] - shift[i]);
        running.max[first + i] = max[i];
        running.factor[first + i] = factor;
        running.sum[first + i] = running.sum[first + i].mul_add(factor, sum[i]);
    }
}

/// Turns unscaled scores (rows are queries, the first `lanes` lanes keys) into probabilities, and
/// `dout · v` into the gradient of the unscaled scores.
#[inline(always)]
pub(crate) fn backward(
    scores: &mut [Row],
    dp: &mut [Row],
    lanes: usize,
    scale: f32,
    saved: &Saved,
) {
    let exponent = scale * LOG2_E;
    for (r, (row, dp)) in scores.iter_mut().zip(dp).enumerate() {
        let (lse, delta) = (saved.lse[r] * LOG2_E, saved.delta[r] * scale);
        for first in (0..lanes).step_by(LANES) {
            let mut p: [f32; LANES] = read(row, first);
            let mut ds: [f32; LANES] = read(dp, first);
            for i in 0..LANES {
                p[i] = exp2(p[i].mul_add(exponent, -lse));
                ds[i] = p[i] * f32::mul_add(ds[i], scale, -delta);
            }
            row[first..first + LANES].copy_from_slice(&p);
            dp[first..first + LANES].copy_from_slice(&ds);
        }
    }
}

/// `a · b`, in 16 sums whatever the level.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] = a[i].mul_add(b[i], sums[i]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |sum: f32, (a, b)| a.mul_add(*b, sum));
    sums.iter().sum::<f32>() + rest
}

#[inline(always)]
fn read<const N: usize>(row: &Row, first: usize) -> [f32; N] {
    *row[first..].first_chunk().expect("lanes of the row")
}
