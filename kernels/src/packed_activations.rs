//! Packed activations that own their memory: the safe way, on one thread.

use crate::kernels::Kernels;
use crate::layout::{PackedShape, Precision};
use crate::operand::{Output, Packed, Weights};
use crate::scratch::{AlignedBytes, Scratch};

/// Activations packed once, to be multiplied by any number of weight matrices.
///
/// Allocates its buffers and runs on the calling thread; a training step uses the raw functions of
/// [`Kernels`] instead, with memory and threads of its own.
pub struct PackedActivations {
    kernels: Kernels,
    shape: PackedShape,
    data: AlignedBytes,
}

impl PackedActivations {
    /// Packs `x`, `(T, R)` row-major.
    ///
    /// # Panics
    /// If `x` does not have `n_tokens · r` elements.
    pub fn pack(
        kernels: Kernels,
        precision: Precision,
        x: &[f32],
        n_tokens: usize,
        r: usize,
    ) -> PackedActivations {
        assert_eq!(x.len(), n_tokens * r, "x is not ({n_tokens}, {r})");
        let shape = PackedShape { precision, n_tokens, r };
        let mut data = AlignedBytes::default();
        let packed = data.grow(shape.bytes());
        // SAFETY: `x` has `n_tokens` rows of `r`, `packed` the shape's bytes, aligned, not shared.
        unsafe { kernels.pack(shape, x.as_ptr(), r, 0..n_tokens, packed) };
        PackedActivations { kernels, shape, data }
    }

    /// `(T, M)` product with the `m` rows of `w`; see [`Kernels::product`].
    pub fn product(&self, w: &dyn Weights, m: usize) -> Vec<f32> {
        let mut y = vec![0.0; self.shape.n_tokens * m];
        let out = Output { data: y.as_mut_ptr(), stride: m, accumulate: false };
        let scratch = &mut Scratch::new();
        // SAFETY: packed by `pack` with this shape; `y` has all outputs and is not shared.
        unsafe { self.kernels.product(self.packed(), w, 0..m, out, scratch) };
        y
    }

    /// `(T, K)` product with the `k` columns of `w`; see [`Kernels::product_transposed`].
    pub fn product_transposed(&self, w: &dyn Weights, k: usize) -> Vec<f32> {
        let mut dx = vec![0.0; self.shape.n_tokens * k];
        let out = Output { data: dx.as_mut_ptr(), stride: k, accumulate: false };
        let scratch = &mut Scratch::new();
        // SAFETY: packed by `pack` with this shape; `dx` has all outputs and is not shared.
        unsafe { self.kernels.product_transposed(self.packed(), w, 0..k, out, scratch) };
        dx
    }

    fn packed(&self) -> Packed {
        Packed { shape: self.shape, data: self.data.as_ptr() }
    }
}
