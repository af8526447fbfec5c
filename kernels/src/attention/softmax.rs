//! What happens to a tile of scores between the matrix products, for lanes of an array.

use super::band::Band;
use super::{LANES, TILE};
use crate::exp::exp;

/// A row of a tile.
pub(crate) type Row = [f32; TILE];

/// What the forward pass remembers of each query in the lanes.
#[repr(C, align(64))]
pub(crate) struct Running {
    /// Largest score so far.
    pub max: Row,
    /// `Σ exp(score - max)` so far.
    pub sum: Row,
    /// By how much the last tile shrank earlier results.
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

/// Turns unscaled scores (rows are keys, the first `lanes` lanes queries) into `exp(scale · score - max)` with
/// the new running maximum, and hidden ones into 0. Returns whether any maximum grew.
#[inline(always)]
pub(crate) fn forward(
    tile: &mut [Row],
    lanes: usize,
    scale: f32,
    band: Option<Band>,
    running: &mut Running,
) -> bool {
    let mut grew = false;
    for first in (0..lanes).step_by(LANES) {
        let before: [f32; LANES] = read(&running.max, first);
        let mut max = before;
        for (r, row) in tile.iter().enumerate() {
            let scores: [f32; LANES] = read(row, first);
            let (low, high) = visible(band, r, first);
            for i in 0..LANES {
                let x = scores[i] * scale;
                let x = if low <= i as i32 && (i as i32) < high { x } else { f32::NEG_INFINITY };
                // Passes over NaN, which the exponentials then show.
                max[i] = if x > max[i] { x } else { max[i] };
            }
        }
        let mut factor = [1.0; LANES];
        for i in 0..LANES {
            let shrunk = exp(before[i] - max[i]);
            // Equal infinities too: nothing seen yet, or NaN already.
            factor[i] = if before[i] == max[i] { 1.0 } else { shrunk };
            grew |= before[i] != max[i];
        }
        let mut sum = [0.0; LANES];
        for (r, row) in tile.iter_mut().enumerate() {
            let mut p: [f32; LANES] = read(row, first);
            let (low, high) = visible(band, r, first);
            for i in 0..LANES {
                let x = exp(p[i].mul_add(scale, -max[i]));
                p[i] = if low <= i as i32 && (i as i32) < high { x } else { 0.0 };
                sum[i] += p[i];
            }
            row[first..first + LANES].copy_from_slice(&p);
        }
        for i in 0..LANES {
            running.max[first + i] = max[i];
            running.factor[first + i] = factor[i];
            running.sum[first + i] = running.sum[first + i].mul_add(factor[i], sum[i]);
        }
    }
    grew
}

/// Turns unscaled scores (rows are queries, the first `lanes` lanes keys) into probabilities, and `dout · v` into
/// the gradient of the unscaled scores; hidden ones into 0.
#[inline(always)]
pub(crate) fn backward(
    scores: &mut [Row],
    dp: &mut [Row],
    lanes: usize,
    scale: f32,
    band: Option<Band>,
    saved: &Saved,
) {
    for (r, (row, dp)) in scores.iter_mut().zip(dp).enumerate() {
        let (lse, delta) = (saved.lse[r], saved.delta[r]);
        for first in (0..lanes).step_by(LANES) {
            let (mut p, mut ds) = (read(row, first), read(dp, first));
            let (low, high) = visible(band, r, first);
            for i in 0..LANES {
                let shown = low <= i as i32 && (i as i32) < high;
                let x = exp(p[i].mul_add(scale, -lse));
                let dx = x * (ds[i] - delta) * scale;
                p[i] = if shown { x } else { 0.0 };
                ds[i] = if shown { dx } else { 0.0 };
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

/// The visible lanes of row `r`, counted from lane `first`.
#[inline(always)]
fn visible(band: Option<Band>, r: usize, first: usize) -> (i32, i32) {
    let Some(band) = band else { return (i32::MIN, i32::MAX) };
    let lane = |bound: isize| {
        (bound + r as isize - first as isize).clamp(-(TILE as isize), TILE as isize) as i32
    };
    (lane(band.low), lane(band.high))
}

#[inline(always)]
fn read(row: &Row, first: usize) -> [f32; LANES] {
    std::array::from_fn(|i| row[first + i])
}
