//! Panels made in advance multiply as those that a product makes itself, at every level, bit for
//! bit.

mod support;

use std::alloc::{self, Layout};
use std::ops::Range;

use cutq_kernels::{
    COLUMNS, Kernels, Output, Packed, PackedActivations, PackedShape, Precision, Scratch, Weights,
    panel_bytes,
};
use support::{levels, numbers, sizes};

/// `(T, R, outputs)`: around a block, a panel, a tile, the depth of a part of the sum, and the
/// panels that are swept together.
const SHAPES: &[(usize, usize, usize)] = sizes(
    &[
        (1, 1, 1),
        (0, 64, 32),
        (3, 0, 5),
        (3, 5, 0),
        (7, 31, 33),
        (6, 33, 64),
        (13, 95, 257),
        (49, 257, 300),
        (5, 1024, 31),
        (8, 1100, 65),
        (9, 2080, 577),
    ],
    &[(1, 1, 1), (3, 0, 5), (3, 5, 0), (2, 33, 33)],
);

/// Memory that nothing has written to, aligned as panels must be.
struct Memory {
    data: *mut u8,
    layout: Layout,
}

impl Memory {
    fn new(bytes: usize) -> Memory {
        let layout = Layout::from_size_align(bytes.max(1), 64).expect("a size that fits");
        // SAFETY: the layout is not empty.
        let data = unsafe { alloc::alloc(layout) };
        assert!(!data.is_null());
        Memory { data, layout }
    }

    /// Numbers that no panel holds, so that what is left out shows.
    #[cfg(not(miri))]
    fn spoil(self) -> Memory {
        // SAFETY: the memory has these bytes.
        unsafe { self.data.write_bytes(0xff, self.layout.size()) };
        self
    }

    /// Miri sees for itself what was not written.
    #[cfg(miri)]
    fn spoil(self) -> Memory {
        self
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { alloc::dealloc(self.data, self.layout) };
    }
}

/// A product of random operands.
struct Case {
    shape: PackedShape,
    outputs: usize,
    /// `(T, R)`
    left: Vec<f32>,
    /// `(outputs, R)`
    right: Vec<f32>,
    transposed: bool,
}

impl Case {
    /// `W`, whose rows or columns are the right operand.
    fn weights(&self) -> impl Weights {
        let r = self.shape.r;
        move |m: usize, k: usize, part: &mut [f32]| match self.transposed {
            false => part.copy_from_slice(&self.right[m * r + k..][..part.len()]),
            true => {
                for (i, x) in part.iter_mut().enumerate() {
                    *x = self.right[(k + i) * r + m];
                }
            }
        }
    }

    /// The product that makes its panels itself.
    fn expected(&self, kernels: Kernels) -> Vec<f32> {
        let PackedShape { precision, n_tokens, r } = self.shape;
        let x = PackedActivations::pack(kernels, precision, &self.left, n_tokens, r);
        match self.transposed {
            false => x.product(&self.weights(), self.outputs),
            true => x.product_transposed(&self.weights(), self.outputs),
        }
    }

    /// The panels, those of each part by a call of its own.
    fn panels(&self, kernels: Kernels, parts: &[Range<usize>]) -> Memory {
        let PackedShape { precision, r, .. } = self.shape;
        let memory = Memory::new(panel_bytes(precision, self.outputs, r)).spoil();
        let scratch = &mut Scratch::new();
        for part in parts.iter().cloned() {
            let (w, data) = (&self.weights(), memory.data);
            // SAFETY: the memory has room for all panels.
            unsafe {
                match self.transposed {
                    false => kernels.make_panels(precision, r, w, part, data, scratch),
                    true => {
                        kernels.make_panels_transposed(precision, r, w, part, data, scratch);
                    }
                }
            }
        }
        memory
    }

    /// The product of panels made in advance, each part by a call of its own.
    fn found(&self, kernels: Kernels, panels: &Memory, parts: &[Range<usize>]) -> Vec<f32> {
        let shape = self.shape;
        let packed = Memory::new(shape.bytes());
        let mut y = vec![f32::NAN; shape.n_tokens * self.outputs];
        let out = Output { data: y.as_mut_ptr(), stride: self.outputs, accumulate: false };
        let x = Packed { shape, data: packed.data };
        // SAFETY: the operands have the shape's sizes, `y` all outputs.
        unsafe {
            kernels.pack(shape, self.left.as_ptr(), shape.r, 0..shape.n_tokens, packed.data);
            for part in parts.iter().cloned() {
                kernels.product_of_panels(x, panels.data, part, out);
            }
        }
        y
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let with = |&(n_tokens, r, outputs): &(usize, usize, usize), precision, transposed| Case {
        shape: PackedShape { precision, n_tokens, r },
        outputs,
        left: numbers(n_tokens * r, 1 + r as u64),
        right: numbers(outputs * r, 2 + r as u64),
        transposed,
    };
    SHAPES.iter().flat_map(move |shape| {
        [Precision::Int8, Precision::F32]
            .into_iter()
            .flat_map(move |precision| [false, true].map(|way| with(shape, precision, way)))
    })
}

/// `0..n` in parts that begin at multiples of `step` panels.
fn parts(n: usize, step: usize) -> Vec<Range<usize>> {
    (0..n).step_by(step * COLUMNS).map(|i| i..n.min(i + step * COLUMNS)).collect()
}

#[test]
fn panels_made_in_advance_give_the_same_bits_however_they_are_split() {
    for kernels in levels() {
        for case in cases() {
            let expected = bits(&case.expected(kernels));
            for (made, used) in [(1, 17), (17, 1), (3, 2)] {
                let panels = case.panels(kernels, &parts(case.outputs, made));
                // Twice: multiplying leaves the panels as they are.
                for _ in 0..2 {
                    let found = case.found(kernels, &panels, &parts(case.outputs, used));
                    let way = if case.transposed { "transposed" } else { "forward" };
                    assert_eq!(bits(&found), expected, "{kernels:?} {:?} {way}", case.shape);
                }
            }
        }
    }
}

fn bits(y: &[f32]) -> Vec<u32> {
    y.iter().map(|y| y.to_bits()).collect()
}

#[test]
#[should_panic(expected = "begin within a panel")]
fn parts_begin_with_a_panel() {
    let case = cases().last().expect("a case");
    case.panels(Kernels::detect().expect("a level"), &[0..16, 16..32]);
}
