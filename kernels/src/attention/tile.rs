//! Moving tiles between tensors and a thread's buffers.

use std::ops::Range;

use super::band::Band;
use crate::loops::tile_softmax::TILE;
use crate::loops::{LANES, Loops, Matrix};
use crate::scratch::Scratch;

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
/// has the features of `loops`.
pub(super) unsafe fn transpose(
    loops: &Loops,
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
        (loops.transpose)(from, to, (n, d));
        for x in 0..d {
            to.data.add(x * TILE + n).write_bytes(0, lanes - n);
        }
    }
}

/// `n` rows of `d` elements, readable up to a whole vector: those of `from`, or a copy whose rows
/// end in zeros.
///
/// # Safety
/// `from` has `n` rows, `copy` room for as many, `d` rounded up, and is not shared.
pub(super) unsafe fn whole_rows(from: Matrix, n: usize, d: usize, copy: *mut f32) -> Matrix {
    if d.is_multiple_of(LANES) {
        return from;
    }
    let copy = Matrix { data: copy, row: d.next_multiple_of(LANES) };
    for i in 0..n {
        // SAFETY: row `i` of both.
        unsafe {
            let to = copy.data.add(i * copy.row);
            std::ptr::copy_nonoverlapping(from.data.add(i * from.row), to, d);
            to.add(d).write_bytes(0, copy.row - d);
        }
    }
    copy
}
