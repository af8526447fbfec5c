//! Rotary position embedding.

use crate::kernels::Kernels;
use crate::loops::RopePairs;
use crate::scratch::Scratch;

/// Rotary position embedding of a layer's heads.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// How dimensions are paired.
    pub pairs: RopePairs,
    /// By how many radians a pair turns from one position to the next. Dimensions beyond twice as
    /// many stay as they are.
    pub frequencies: Vec<f32>,
    /// Elements of a head, `D`.
    pub head_dim: usize,
    /// What turns is multiplied by this.
    pub magnitude: f32,
}

impl Kernels {
    /// Rotates the heads of a token: with `θ = position · frequency` and the magnitude `m`, for
    /// each pair `(a, b)`, `y_a = m (x_a cos θ − x_b sin θ)` and `y_b = m (x_a sin θ + x_b cos θ)`.
    ///
    /// | argument | shape    |
    /// |----------|----------|
    /// | `x`, `y` | `(H, D)` |
    ///
    /// The gradient is the rotation back, by `-position`.
    ///
    /// # Panics
    /// If `x` and `y` differ in length or are not whole heads, or more dimensions are paired than
    /// there are.
    pub fn rope(
        &self,
        rope: &Rope,
        position: f32,
        x: &[f32],
        y: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (n, d) = (rope.frequencies.len(), rope.head_dim);
        assert!(x.len() == y.len() && x.len().is_multiple_of(d) && 2 * n <= d, "heads of x and y");
        let (cos, sin) = scratch.floats(n, n);
        for ((cos, sin), frequency) in cos.iter_mut().zip(sin.iter_mut()).zip(&rope.frequencies) {
            let (s, c) = (position * frequency).sin_cos();
            (*sin, *cos) = (rope.magnitude * s, rope.magnitude * c);
        }
        for (x, y) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)) {
            let ((x, rest), (y, rest_of_y)) = (x.split_at(2 * n), y.split_at_mut(2 * n));
            // SAFETY: holding `Kernels` proves the features of its level.
            unsafe { (self.loops.rope)(rope.pairs, [cos, sin], x, y) };
            rest_of_y.copy_from_slice(rest);
        }
    }
}
