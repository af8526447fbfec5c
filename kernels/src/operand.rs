//! Operands of products, in memory of the caller.

use std::ops::Range;

use crate::layout::{GROUP, PackedShape};

/// Dequantizes a row of `W`: `unpack(m, row)` writes all `K` elements of row `m`.
pub type UnpackRow<'a> = dyn Fn(usize, &mut [f32]) + 'a;

/// Dequantizes a part of a row of `W`: `unpack(m, k, part)` writes elements `k..k + part.len()` of
/// row `m`.
pub type UnpackPart<'a> = dyn Fn(usize, usize, &mut [f32]) + 'a;

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
