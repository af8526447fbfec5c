//! Log-softmax of one row of logits, and its gradient.
//!
//! The two loops are written once, for lanes of an array, and compiled once per level: they use
//! no fused multiply-add, so every level gives the same bits. `exp` is the usual reduction by
//! powers of two with a Taylor polynomial of degree 7 on `|r| <= ln(2)/2` (error below 1e-8);
//! what remains is f32 rounding.

use crate::Kernels;

/// Elements handled side by side.
const LANES: usize = 32;

/// Elements whose exponentials are summed in f32 before the sum moves to f64: 16 per lane, so that
/// even a systematic rounding stays below 1e-6 relative.
const PIECE: usize = 16 * LANES;

impl Kernels {
    /// `ln Σ_v exp(logits[v])`, in nats.
    ///
    /// Subtracts the maximum, takes exponentials in `f32` and adds up their sums in `f64`: within
    /// `1e-5` of the plain `f64` value. NaN if a logit is NaN or `+inf`, or if none is finite;
    /// `-inf` marks an impossible token.
    pub fn log_sum_exp(&self, logits: &[f32]) -> f64 {
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.micro.log_sum_exp)(logits) }
    }

    /// Log-probability of `label`, `logits[label] - ln Σ_v exp(logits[v])`, in nats.
    ///
    /// Equals `-F.cross_entropy` on one row; accuracy as for [`Kernels::log_sum_exp`].
    ///
    /// # Panics
    /// If `label` is outside the row.
    pub fn log_prob(&self, logits: &[f32], label: usize) -> f64 {
        f64::from(logits[label]) - self.log_sum_exp(logits)
    }

    /// Turns logits into `row[v] = weight · (softmax(row)[v] - [v == label])`, given the row's
    /// [`Kernels::log_sum_exp`].
    ///
    /// With `weight = -dL/dlog p(label)` this is `dL/dlogits`. Absolute error below
    /// `1e-5 · |weight|`; probabilities below `1e-37` become zero.
    ///
    /// # Panics
    /// If `label` is outside the row.
    pub fn log_prob_backward(&self, row: &mut [f32], log_sum_exp: f64, label: usize, weight: f32) {
        assert!(label < row.len(), "label {label} is outside a row of {}", row.len());
        let shift = log_sum_exp as f32;
        // What the shift lost in rounding scales every element alike.
        let scale = f64::from(weight) * (f64::from(shift) - log_sum_exp).exp();
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.micro.scaled_exp)(row, shift, scale as f32) };
        row[label] -= weight;
    }
}

/// The loop behind [`Kernels::log_sum_exp`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn log_sum_exp(row: &[f32]) -> f64 {
    let max = maximum(row);
    let total: f64 = row.chunks(PIECE).map(|piece| f64::from(sum_exp(piece, max))).sum();
    f64::from(max) + total.ln()
}

/// The loop behind [`Kernels::log_prob_backward`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn scaled_exp(row: &mut [f32], shift: f32, weight: f32) {
    for x in row {
        *x = weight * exp(*x - shift);
    }
}

/// Largest element; passes over NaN, which the exponentials then show.
#[inline(always)]
fn maximum(row: &[f32]) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| larger(max, x))
}

/// `Σ exp(x - max)` of at most [`PIECE`] elements.
#[inline(always)]
fn sum_exp(piece: &[f32], max: f32) -> f32 {
    let (chunks, rest) = piece.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += exp(x - max);
        }
    }
    let rest: f32 = rest.iter().map(|&x| exp(x - max)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// `exp(x)` for `x` up to 88; zero below -87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer in the low mantissa bits; 127 more is the exponent's
    // bias, so that a shift turns them into the bits of 2^n.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    // ln 2 in two parts; the first has so few bits that its product with n is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let biased = x * std::f32::consts::LOG2_E + ROUND;
    let power = f32::from_bits(biased.to_bits() << 23);
    let n = biased - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + coefficient;
    }
    if x < -87.0 { 0.0 } else { sum * power }
}
