//! Sums of exponentials of a row of logits, and the gradient of its log-softmax.
//!
//! A row is summed in parts of [`PART`] logits, each with a maximum of its own, so that
//! [`crate::HeadShape`]'s functions, which never see a whole row, come to the same bits.

use super::exp::exp;

/// Elements handled side by side.
const LANES: usize = 32;

/// Logits whose maximum is taken before their exponentials are summed.
pub(crate) const SPAN: usize = 4 * LANES;

/// Logits whose exponentials are summed in `f32` before the sum moves to `f64`: 32 per lane, so
/// that even a systematic rounding stays near 1e-6 relative.
pub(crate) const PART: usize = 1024;

/// What is known of a part of a row.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PartSum {
    /// Largest logit; passes over NaN, which the sum then shows.
    pub max: f32,
    /// `Σ exp(logit - max)`.
    pub sum: f32,
}

impl PartSum {
    /// Of no logits.
    pub(crate) const EMPTY: PartSum = PartSum { max: f32::NEG_INFINITY, sum: 0.0 };
}

/// `ln Σ exp` of a row from its parts.
pub(crate) fn total(parts: impl Iterator<Item = PartSum> + Clone) -> f64 {
    let max = f64::from(parts.clone().fold(f32::NEG_INFINITY, |max, part| larger(max, part.max)));
    let sum: f64 = parts.map(|part| f64::from(part.sum) * (f64::from(part.max) - max).exp()).sum();
    max + sum.ln()
}

/// Adds logits to a part, [`SPAN`] by [`SPAN`]; to be inlined into a function per level.
#[inline(always)]
pub(crate) fn add_exp(logits: &[f32], part: &mut PartSum) {
    for span in logits.chunks(SPAN) {
        let max = larger(part.max, maximum(span));
        if max > part.max {
            part.sum *= exp(part.max - max);
            part.max = max;
        }
        // Nothing but infinities so far: a difference of two would be NaN.
        part.sum += sum_exp(span, if max == f32::NEG_INFINITY { 0.0 } else { max });
    }
}

/// The loop behind [`crate::Kernels::log_prob_backward`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn scaled_exp(row: &mut [f32], shift: f32, weight: f32) {
    for x in row {
        *x = weight * exp(*x - shift);
    }
}

/// Passes over NaN in the second place.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Largest element; passes over NaN.
#[inline(always)]
fn maximum(row: &[f32]) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    rest.iter().fold(halve(lanes, larger), |max, &x| larger(max, x))
}

/// `Σ exp(x - max)`.
#[inline(always)]
fn sum_exp(row: &[f32], max: f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += exp(x - max);
        }
    }
    let rest: f32 = rest.iter().map(|&x| exp(x - max)).sum();
    halve(lanes, |a, b| a + b) + rest
}

/// All lanes as one, halving their number each time: few steps, on vectors.
#[inline(always)]
fn halve(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            lanes[i] = join(lanes[i], lanes[i + n]);
        }
    }
    lanes[0]
}
