//! Moving tiles between tensors and a thread's buffers.

use std::ops::Range;

use super::band::Band;
use super::{LANES, TILE};
use crate::Scratch;
use crate::generic::Generic;
use crate::generic::Matrix;

/// Hands out parts of a scratch memory, each aligned to 64 bytes.
pub(super) struct Buffers {
    next: *mut f32,
    left: usize,
}

impl Buffers {
    /// `len` floats in all.
    pub(super) fn new(scratch: &mut Scratch, len: usize) -> Buffers {
        Buffers { next: scratch.panels.grow(len * size_of::<f32>()).cast(), left: len }
    }

    /// The next `len` floats, whatever they hold.
    pub(super) fn take(&mut self, len: usize) -> *mut f32 {
        assert!(len <= self.left && len.is_multiple_of(LANES), "{len} of {} floats", self.left);
        let part = self.next;
        self.left -= len;
        // SAFETY: the memory has `left` more floats.
        self.next = unsafe { part.add(len) };
        part
    }
}

/// The rows or columns of a tile that are multiplied together: all of a visible tile, else `step`,
/// to skip what is hidden.
pub(super) fn strips(
    len: usize,
    band: Option<Band>,
    step: usize,
) -> impl Iterator<Item = Range<usize>> {
    let step = if band.is_some() { step } else { TILE };
    (0..len).step_by(step).map(move |start| start..len.min(start + step))
}

/// `to[d, i] = from[i, d]` for `n` rows of `d` elements; zeros up to a whole vector of lanes.
///
/// # Safety
/// `from` has `n` rows, `stride` floats apart, `to` has `d` rows of 64 floats, not shared; the CPU
/// has the features of `generic`.
pub(super) unsafe fn transpose(
    generic: &Generic,
    from: *const f32,
    stride: usize,
    n: usize,
    d: usize,
    to: *mut f32,
) {
    let lanes = n.next_multiple_of(LANES);
    // SAFETY: by contract; only read from `from`.
    unsafe {
        let (from, to) =
            (Matrix { data: from.cast_mut(), row: stride }, Matrix { data: to, row: TILE });
        (generic.transpose)(from, to, (n, d));
        for x in 0..d {
            to.data.add(x * TILE + n).write_bytes(0, lanes - n);
        }
    }
}

/// Copies `n` rows of `d` elements; the rows of `to` are `row` floats long, zeros at their ends.
///
/// # Safety
/// `from` has `n` rows, `stride` floats apart, `to` has `n` rows, not shared.
pub(super) unsafe fn copy_rows(
    from: *const f32,
    stride: usize,
    n: usize,
    d: usize,
    to: *mut f32,
    row: usize,
) {
    for i in 0..n {
        // SAFETY: row `i` of both; `d <= row`.
        unsafe {
            let to = to.add(i * row);
            std::ptr::copy_nonoverlapping(from.add(i * stride), to, d);
            for x in d..row {
                to.add(x).write(0.0);
            }
        }
    }
}
