//! RMS norm of the rows of a matrix, and its gradient.

use crate::kernels::Kernels;

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
            unsafe { (self.loops.norm)(x, weight, eps, y) };
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
            unsafe { (self.loops.norm_backward)(x, weight, eps, dy, dx) };
        }
    }
}
