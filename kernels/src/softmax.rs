//! Log-softmax of one row of logits, and its gradient.
//!
//! The loops are written once, for lanes of an array, and compiled once per level. A row is summed
//! in parts of [`PART`] logits, each with a maximum of its own, so that [`crate::HeadShape`]'s
//! functions, which see a row piece by piece, come to the same bits.

use crate::Kernels;
use crate::exp::exp;

/// Elements handled side by side.
const LANES: usize = 32;

/// Logits whose maximum is taken before their exponentials are summed.
pub(crate) const CHUNK: usize = 4 * LANES;

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

/// One row's way from logits to their gradient,
/// `dlogits[v] = weight · (exp(logits[v] - log_sum_exp) - [v == label])`.
///
/// With `weight = -dL/dlog p(label)` this is `dL/dlogits`. Absolute error below
/// `1e-5 · |weight|`; probabilities below `1e-37` become zero.
#[derive(Clone, Copy, Debug)]
pub struct LogitGradient {
    pub(crate) label: usize,
    pub(crate) weight: f32,
    /// `log_sum_exp`, rounded.
    pub(crate) shift: f32,
    /// `weight`, and what the shift lost in rounding, which scales every element alike.
    pub(crate) scale: f32,
}

impl LogitGradient {
    /// For the row whose [`Kernels::log_sum_exp`] this is.
    pub fn new(label: usize, log_sum_exp: f64, weight: f32) -> LogitGradient {
        let shift = log_sum_exp as f32;
        let scale = f64::from(weight) * (f64::from(shift) - log_sum_exp).exp();
        LogitGradient { label, weight, shift, scale: scale as f32 }
    }
}

impl Kernels {
    /// `ln Σ_v exp(logits[v])`, in nats.
    ///
    /// Subtracts maxima, takes exponentials in `f32` and adds up their sums in `f64`: within
    /// `1e-5` of the plain `f64` value. NaN if a logit is NaN or `+inf`, or if none is finite;
    /// `-inf` marks an impossible token.
    pub fn log_sum_exp(&self, logits: &[f32]) -> f64 {
        let sum = |part: &[f32]| {
            let mut sum = PartSum::EMPTY;
            // SAFETY: holding `Kernels` proves the features of its level.
            unsafe { (self.generic.add_exp)(part, &mut sum) };
            sum
        };
        let parts: Vec<PartSum> = logits.chunks(PART).map(sum).collect();
        total(parts.iter().copied())
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

    /// Turns logits into their gradient.
    ///
    /// # Panics
    /// If the label is outside the row.
    pub fn log_prob_backward(&self, row: &mut [f32], gradient: LogitGradient) {
        let LogitGradient { label, .. } = gradient;
        assert!(label < row.len(), "label {label} is outside a row of {}", row.len());
        self.part_backward(row, 0, gradient);
    }

    /// Turns the logits from `first` on into their gradient.
    #[inline]
    pub(crate) fn part_backward(&self, part: &mut [f32], first: usize, gradient: LogitGradient) {
        let LogitGradient { label, weight, shift, scale } = gradient;
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.generic.scaled_exp)(part, shift, scale) };
        if let Some(x) = label.checked_sub(first).and_then(|v| part.get_mut(v)) {
            *x -= weight;
        }
    }
}

/// `ln Σ exp` of a row from its parts.
pub(crate) fn total(parts: impl Iterator<Item = PartSum> + Clone) -> f64 {
    let max = f64::from(parts.clone().fold(f32::NEG_INFINITY, |max, part| larger(max, part.max)));
    let sum: f64 = parts.map(|part| f64::from(part.sum) * (f64::from(part.max) - max).exp()).sum();
    max + sum.ln()
}

/// Adds logits to a part, [`CHUNK`] by [`CHUNK`]; to be inlined into a function per level.
#[inline(always)]
pub(crate) fn add_exp(logits: &[f32], part: &mut PartSum) {
    for chunk in logits.chunks(CHUNK) {
        let max = larger(part.max, maximum(chunk));
        if max > part.max {
            part.sum *= exp(part.max - max);
            part.max = max;
        }
        // Nothing but infinities so far: a difference of two would be NaN.
        part.sum += sum_exp(chunk, if max == f32::NEG_INFINITY { 0.0 } else { max });
    }
}

/// The loop behind [`Kernels::log_prob_backward`], to be inlined into a function per level.
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
