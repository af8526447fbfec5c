//! Operands of products, in memory of the caller.

use std::ops::Range;

use crate::layout::{BLOCK, GROUP, PackedShape};

/// A matrix `W` of `(M, K)`, however it is stored.
///
/// A closure that does what [`Weights::unpack`] does is one.
pub trait Weights {
    /// Dequantizes a part of a row: writes elements `k..k + part.len()` of row `m`.
    fn unpack(&self, m: usize, k: usize, part: &mut [f32]);

    /// Writes the blocks of row `m` as they are stored, and returns true, where they are stored as
    /// [`QuantBlock`]s; `K` is a multiple of [`BLOCK`]. Else returns false, and the blocks may hold
    /// anything.
    fn quants(&self, _m: usize, _blocks: &mut [QuantBlock]) -> bool {
        false
    }
}

impl<F: Fn(usize, usize, &mut [f32])> Weights for F {
    fn unpack(&self, m: usize, k: usize, part: &mut [f32]) {
        self(m, k, part);
    }
}

/// Neighbours along a row of `W`: `w_i = offset + scale · quants[i]`.
///
/// In int8, [`Kernels::product`](crate::Kernels::product) multiplies with these numbers as they
/// are, so that nothing is rounded but the activations.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantBlock {
    /// One byte each, whatever their number of bits.
    pub quants: [u8; BLOCK],
    /// What a quant is multiplied by, of either sign.
    pub scale: f32,
    /// What is added, the element of quant 0.
    pub offset: f32,
}

/// Activations that [`Kernels::pack`](crate::Kernels::pack) has packed.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// The shape that they were packed with.
    pub shape: PackedShape,
    /// `(T, R)`, [`PackedShape::bytes`] bytes, aligned to 4.
    pub data: *const u8,
}

/// Where a product writes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Element `(0, 0)` of the whole row-major output, not of a thread's part.
    pub data: *mut f32,
    /// Floats from one row (token) to the next.
    pub stride: usize,
    /// Add to what is there instead of overwriting it.
    pub accumulate: bool,
}

impl Packed {
    /// Some of the tokens, from the first of a group on.
    ///
    /// # Safety
    /// The data holds what the shape says.
    pub(crate) unsafe fn tokens(self, tokens: Range<usize>) -> Packed {
        debug_assert!(tokens.start.is_multiple_of(GROUP) && tokens.end <= self.shape.n_tokens);
        let shape = PackedShape { n_tokens: tokens.len(), ..self.shape };
        // SAFETY: the group lies in the data.
        Packed { shape, data: unsafe { self.data.add(self.shape.group_offset(tokens.start)) } }
    }
}
