//! Dividing a call among threads.

use std::ops::Range;

/// Memory that the threads of one call write disjoint parts of.
pub struct Shared<T>(*mut T);

impl<T> Shared<T> {
    pub fn new(data: &mut [T]) -> Shared<T> {
        Shared(data.as_mut_ptr())
    }

    /// Bytes within `data` that begin at a multiple of 64.
    pub fn aligned(data: &mut [T]) -> Shared<T> {
        let padding = data.as_ptr().align_offset(64);
        Shared(data[padding..].as_mut_ptr())
    }

    pub fn pointer(self) -> *mut T {
        self.0
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: each thread accesses its own elements; the benchmarks divide them.
unsafe impl<T> Send for Shared<T> {}

/// A range in `n` parts that begin at multiples of `step` from its start.
pub fn shares(range: Range<usize>, step: usize, n: usize) -> impl Iterator<Item = Range<usize>> {
    let len = range.len();
    let bound = move |i: usize| range.start + (len * i / n).next_multiple_of(step).min(len);
    (0..n).map(move |i| bound(i)..bound(i + 1))
}
