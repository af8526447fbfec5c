//! An allocator that hands out a fixed region of memory and never takes any back.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 1 << 20;

#[repr(align(64))]
struct Bump {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

#[global_allocator]
static HEAP: Bump = Bump { memory: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };

// SAFETY: `used` is atomic, and no two callers are given the same bytes of `memory`.
unsafe impl Sync for Bump {}

// SAFETY: every block lies within `memory`, is aligned as asked (offsets are, and `memory` begins
// at a multiple of 64; stricter alignments are refused), and overlaps no other block since `used`
// only grows.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > 64 {
            return ptr::null_mut();
        }
        let place = |used: usize| {
            let start = used.next_multiple_of(layout.align());
            start.checked_add(layout.size()).filter(|end| *end <= SIZE)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place) {
            Ok(used) => {
                let start = used.next_multiple_of(layout.align());
                // SAFETY: `place` found `start + size <= SIZE`.
                unsafe { self.memory.get().cast::<u8>().add(start) }
            }
            Err(_) => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}
