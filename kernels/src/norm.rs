//! RMS norm of the rows of a matrix, and its gradient.

use crate::Kernels;
use crate::generic::LANES;

impl Kernels {
    /// RMS norm of each row.
    ///
    /// `y[t, i] = w[i] · x[t, i] / r[t]` with `r[t] = √(mean_i x[t, i]² + eps)`.
    ///
    /// | argument | shape    |
    /// |----------|----------|
    /// | `x`, `y` | `(T, N)` |
    /// | `weight` | `(N,)`   |
    ///
    /// Sums in `f32`, in 16 parts: within `1e-6` relative of `f64` for rows up to 16384.
    ///
    /// # Panics
    /// If `x` and `y` differ in length or are not whole rows.
    pub fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
        assert!(x.len() == y.len() && x.len().is_multiple_of(weight.len()), "rows of x and y");
        for (x, y) in x.chunks_exact(weight.len()).zip(y.chunks_exact_mut(weight.len())) {
            // SAFETY: holding `Kernels` proves the features of its level.
            unsafe { (self.generic.norm)(x, weight, eps, y) };
        }
    }

    /// Gradient of [`Kernels::rms_norm`] for `x`.
    ///
    /// With `x̂ = x / r` and `g = w · dy`: `dx = (g − x̂ · mean(g · x̂)) / r`, row by row.
    ///
    /// # Panics
    /// If `x`, `dy` and `dx` differ in length or are not whole rows.
    pub fn rms_norm_backward(
        &self,
        x: &[f32],
        weight: &[f32],
        eps: f32,
        dy: &[f32],
        dx: &mut [f32],
    ) {
        let n = weight.len();
        assert!(x.len() == dx.len() && x.len() == dy.len(), "x, dy and dx");
        assert!(x.len().is_multiple_of(n), "rows of {n}");
        let rows = x.chunks_exact(n).zip(dy.chunks_exact(n));
        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(n)) {
            // SAFETY: holding `Kernels` proves the features of its level.
            unsafe { (self.generic.norm_backward)(x, weight, eps, dy, dx) };
        }
    }
}

/// One row of [`Kernels::rms_norm`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn forward(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let inverse = inverse_rms(x, eps);
    for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * inverse * w;
    }
}

/// One row of [`Kernels::rms_norm_backward`], to be inlined into a function per level.
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
