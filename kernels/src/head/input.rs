//! What a head reads.

use super::shape::HeadShape;
use crate::operand::{Packed, Weights};

/// The operands of a head's product.
#[derive(Clone, Copy)]
pub struct HeadInput<'a> {
    /// Sizes of the head.
    pub shape: HeadShape,
    /// `(T, K)`, packed as [`HeadShape::activations`] by [`Kernels::pack`](crate::Kernels::pack).
    pub packed: *const u8,
    /// `W`, `(V, K)`.
    pub weights: &'a dyn Weights,
}

impl HeadInput<'_> {
    /// The packed activations with their shape.
    pub(super) fn activations(&self) -> Packed {
        Packed { shape: self.shape.activations(), data: self.packed }
    }
}
