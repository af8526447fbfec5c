//! RMS norm of a row, and its gradient.

use super::vector::LANES;

/// One row of [`crate::Kernels::rms_norm`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn forward(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let inverse = inverse_rms(x, eps);
    for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * inverse * w;
    }
}

/// One row of [`crate::Kernels::rms_norm_backward`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn backward(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]) {
    let inverse = inverse_rms(x, eps);
    let sum = sum(x.len(), |i| weight[i] * dy[i] * x[i]);
    // mean(g · x̂) / r, which multiplies x̂ = x · inverse.
    let mean = sum * inverse / x.len() as f32 * inverse;
    for (((dx, x), w), dy) in dx.iter_mut().zip(x).zip(weight).zip(dy) {
        *dx = inverse * (-mean).mul_add(*x, w * dy);
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum(x.len(), |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt()
}

/// `Σ_i term(i)` in 16 sums whatever the level.
#[inline(always)]
fn sum(n: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let whole = n / LANES * LANES;
    for first in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    (whole..n).map(term).sum::<f32>() + sums.iter().sum::<f32>()
}
