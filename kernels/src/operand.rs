//! Operands of products, in memory of the caller.

use std::ops::Range;

use crate::layout::{GROUP, PackedShape};

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

/// Packed activations and the shape that they were packed with.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub shape: PackedShape,
    pub data: *const u8,
}

impl Left {
    /// A part of the tokens that begins with a group.
    ///
    /// # Safety
    /// The data holds what the shape says.
    pub(crate) unsafe fn part(self, tokens: Range<usize>) -> Left {
        debug_assert!(tokens.start.is_multiple_of(GROUP) && tokens.end <= self.shape.n_tokens);
        let shape = PackedShape { n_tokens: tokens.len(), ..self.shape };
        // SAFETY: the group lies in the data.
        Left { shape, data: unsafe { self.data.add(self.shape.group_offset(tokens.start)) } }
    }
}
