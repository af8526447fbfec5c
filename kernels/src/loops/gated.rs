//! The nonlinearity of a gated feed-forward network, and its gradient.

use super::exp::exp;

/// What a feed-forward network applies to its gate.
///
/// ```
/// use cutq_kernels::{Kernels, Nonlinearity};
///
/// let mut y = [0.0];
/// Kernels::detect()?.gated(Nonlinearity::Silu, &[2.0], &[10.0], &mut y);
/// assert!((y[0] - 10.0 * 2.0 / (1.0 + (-2.0f32).exp())).abs() < 1e-5);
/// # Ok::<(), cutq_kernels::SimdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// `x · sigmoid(x)`
    Silu,
    /// `½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))`, the tanh approximation.
    Gelu,
}

impl Nonlinearity {
    /// `√(2/π)` in [`Nonlinearity::Gelu`].
    pub const GELU_SQRT_2_OVER_PI: f32 = 0.797_884_6;

    /// The coefficient of `x³` in [`Nonlinearity::Gelu`].
    pub const GELU_CUBIC: f32 = 0.044_715;
}

/// The loop of [`crate::Kernels::gated`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn forward(nonlinearity: Nonlinearity, gate: &[f32], up: &[f32], y: &mut [f32]) {
    let elements = y.iter_mut().zip(gate).zip(up);
    match nonlinearity {
        Nonlinearity::Silu => elements.for_each(|((y, &g), up)| *y = silu(g).0 * up),
        Nonlinearity::Gelu => elements.for_each(|((y, &g), up)| *y = gelu(g).0 * up),
    }
}

/// The loop of [`crate::Kernels::gated_backward`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn backward(
    nonlinearity: Nonlinearity,
    input: [&[f32]; 2],
    dy: &[f32],
    gradient: [&mut [f32]; 2],
) {
    match nonlinearity {
        Nonlinearity::Silu => backward_of(silu, input, dy, gradient),
        Nonlinearity::Gelu => backward_of(gelu, input, dy, gradient),
    }
}

#[inline(always)]
fn backward_of(
    nonlinearity: impl Fn(f32) -> (f32, f32),
    [gate, up]: [&[f32]; 2],
    dy: &[f32],
    [dgate, dup]: [&mut [f32]; 2],
) {
    let outputs = dgate.iter_mut().zip(dup);
    for ((((dgate, dup), &gate), up), dy) in outputs.zip(gate).zip(up).zip(dy) {
        let (value, slope) = nonlinearity(gate);
        *dgate = dy * up * slope;
        *dup = dy * value;
    }
}

/// Value and derivative; with `s = sigmoid(x)` the latter is `s (1 + x (1 − s))`.
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

/// Value and derivative; with `t = tanh(u)`, `u = √(2/π) (x + 0.044715 x³)`, the latter is
/// `½ (1 + t) + ½ x (1 − t²) u'`. `tanh(u) = 2 sigmoid(2u) − 1`.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    const SQRT_2_OVER_PI: f32 = Nonlinearity::GELU_SQRT_2_OVER_PI;
    const CUBIC: f32 = Nonlinearity::GELU_CUBIC;
    let square = x * x;
    let u = SQRT_2_OVER_PI * x * (1.0 + CUBIC * square);
    let du = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * square);
    let s = sigmoid(2.0 * u);
    // 1 − t² = 4 s (1 − s)
    (x * s, s + 2.0 * x * s * (1.0 - s) * du)
}

/// `1 / (1 + exp(−x))`. The limit keeps `exp` in its range; a NaN becomes a number here, and NaN
/// again in the products with `x`.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp((-x).min(87.0)))
}
