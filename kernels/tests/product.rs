//! Both products, both precisions, every level of this CPU, over awkward shapes.

use cutq_kernels::{Activations, Kernels, Level, Output, PackedShape, Precision, Scratch};

/// Precisions and orientations are tested alike.
const PRECISIONS: [Precision; 2] = [Precision::Int8, Precision::F32];

/// Lengths around a block, a panel, and the depth of a piece of the sum.
const LENGTHS: [usize; 10] = [1, 3, 31, 32, 33, 64, 95, 257, 1024, 1100];

/// Levels that this CPU has; says so for those that it has not.
fn levels() -> Vec<Kernels> {
    let levels: Vec<_> = Level::ALL.into_iter().filter_map(Kernels::with).collect();
    for level in Level::ALL {
        if Kernels::with(level).is_none() {
            eprintln!("level {level} is missing on this CPU and was not tested");
        }
    }
    levels
}

/// Reproducible numbers of very different sizes, block by block.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|i| next() * [1.0, 0.01, 30.0, 1e-5][i / 37 % 4]).collect()
}

/// A product and what it was made of.
struct Case {
    n_tokens: usize,
    r: usize,
    outputs: usize,
    /// `(T, R)`
    left: Vec<f32>,
    /// `(outputs, R)`
    right: Vec<f32>,
}

impl Case {
    fn new(n_tokens: usize, r: usize, outputs: usize) -> Case {
        let seed = (n_tokens * 1_000_003 + r * 1009 + outputs) as u64;
        let (left, right) = (numbers(n_tokens * r, seed), numbers(outputs * r, seed + 1));
        Case { n_tokens, r, outputs, left, right }
    }

    fn forward(&self, kernels: Kernels, precision: Precision) -> Vec<f32> {
        let unpack = |m: usize, row: &mut [f32]| {
            row.copy_from_slice(&self.right[m * self.r..][..self.r]);
        };
        Activations::pack(kernels, precision, &self.left, self.n_tokens, self.r)
            .product(&unpack, self.outputs)
    }

    fn backward(&self, kernels: Kernels, precision: Precision) -> Vec<f32> {
        let unpack = |m: usize, k: usize, part: &mut [f32]| {
            for (i, x) in part.iter_mut().enumerate() {
                *x = self.right[(k + i) * self.r + m];
            }
        };
        Activations::pack(kernels, precision, &self.left, self.n_tokens, self.r)
            .product_transposed(&unpack, self.outputs)
    }

    /// `(value, Σ |left| |right|)` of each output, from operands rounded as `precision` says.
    fn reference(&self, precision: Precision) -> Vec<(f64, f64)> {
        let round = |rows: &[f32]| match precision {
            Precision::F32 => rows.iter().map(|&x| f64::from(x)).collect(),
            Precision::Int8 => rows.chunks(self.r).flat_map(rounded_row).collect::<Vec<_>>(),
        };
        let (left, right) = (round(&self.left), round(&self.right));
        let mut out = Vec::new();
        for left in left.chunks(self.r) {
            for right in right.chunks(self.r) {
                let products = left.iter().zip(right).map(|(a, b)| a * b);
                out.push((products.clone().sum(), products.map(f64::abs).sum()));
            }
        }
        out
    }

    fn name(&self) -> String {
        format!("{} tokens, R {}, {} outputs", self.n_tokens, self.r, self.outputs)
    }
}

/// A row after rounding to int8 in blocks of 32, written independently of the crate.
fn rounded_row(row: &[f32]) -> Vec<f64> {
    row.chunks(32)
        .flat_map(|block| {
            let amax = block.iter().fold(0.0f32, |amax, x| amax.max(x.abs()));
            let inverse = if amax == 0.0 { 0.0 } else { 127.0 / amax };
            let scale = f64::from(amax) / 127.0;
            block.iter().map(move |x| f64::from((x * inverse).round_ties_even()) * scale)
        })
        .collect()
}

fn cases() -> impl Iterator<Item = Case> {
    let tokens = (0..=13).flat_map(|t| [(t, 64, 32), (t, 95, 33)]);
    let lengths = LENGTHS.into_iter().flat_map(|r| [(7, r, 40), (2, r, 300)]);
    let outputs = [1, 2, 15, 16, 17, 31, 32, 63, 100, 255, 256, 257].map(|m| (8, 70, m));
    let long = [(100, 1056, 33), (101, 2080, 65), (3, 0, 5), (3, 5, 0)];
    tokens.chain(lengths).chain(outputs).chain(long).map(|(t, r, m)| Case::new(t, r, m))
}

/// f32 rounding of a sum taken in pieces of at most 1024 products, each scaled in f32.
const SUM_TOLERANCE: f64 = 1e-5;

#[test]
fn plain_agrees_with_f64() {
    let plain = Kernels::with(Level::Plain).expect("the plain level always exists");
    for case in cases() {
        for precision in PRECISIONS {
            let reference = match case.r {
                0 => vec![(0.0, 0.0); case.n_tokens * case.outputs],
                _ => case.reference(precision),
            };
            for y in [case.forward(plain, precision), case.backward(plain, precision)] {
                assert_eq!(y.len(), reference.len());
                for (y, (value, magnitude)) in y.iter().zip(&reference) {
                    let error = (f64::from(*y) - value).abs();
                    let name = case.name();
                    assert!(error <= SUM_TOLERANCE * magnitude, "{name}: {y} for {value}");
                }
            }
        }
    }
}

#[test]
fn int8_is_within_its_error_bound() {
    // Each operand is off by at most amax / 254 of its block.
    let plain = Kernels::with(Level::Plain).expect("the plain level always exists");
    let case = Case::new(9, 64, 40);
    let y = case.forward(plain, Precision::Int8);
    let exact = case.reference(Precision::F32);
    let amax = |x: &[f32]| x.iter().fold(0.0f32, |amax, x| amax.max(x.abs()));
    let mut largest: f64 = 0.0;
    for (i, (y, (value, _))) in y.iter().zip(&exact).enumerate() {
        let left = case.left[i / 40 * 64..][..64].chunks(32);
        let right = case.right[i % 40 * 64..][..64].chunks(32);
        let bound: f32 =
            left.zip(right).map(|(a, b)| 32.0 * amax(a) * amax(b) * 2.01 / 254.0).sum();
        let error = (f64::from(*y) - value).abs();
        assert!(error <= f64::from(bound), "{y} for {value}");
        largest = largest.max(error);
    }
    assert!(largest > 0.0, "int8 cannot be exact here");
}

#[test]
fn levels_agree_bit_for_bit() {
    let levels = levels();
    for case in cases() {
        for precision in PRECISIONS {
            let forward = case.forward(levels[0], precision);
            let backward = case.backward(levels[0], precision);
            assert_eq!(forward, backward, "the orientations differ: {}", case.name());
            for &kernels in &levels[1..] {
                let name = format!("{kernels:?} {precision:?}: {}", case.name());
                assert_eq!(case.forward(kernels, precision), forward, "{name}");
                assert_eq!(case.backward(kernels, precision), backward, "{name}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    for kernels in levels() {
        for precision in PRECISIONS {
            for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for (poison_left, position) in [(true, 0), (false, 0), (true, 69), (false, 69)] {
                    let mut case = Case::new(7, 70, 40);
                    let row = if poison_left { &mut case.left } else { &mut case.right };
                    row[3 * 70 + position] = poison;
                    for y in [case.forward(kernels, precision), case.backward(kernels, precision)] {
                        for (i, y) in y.iter().enumerate() {
                            let poisoned = if poison_left { i / 40 == 3 } else { i % 40 == 3 };
                            assert_eq!(!y.is_finite(), poisoned, "{kernels:?} {precision:?} {i}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn extreme_blocks() {
    // Blocks of zeros, of subnormals (taken as zero), and the largest finite numbers.
    for kernels in levels() {
        for (value, expected) in [(0.0, 0.0), (1e-40, 0.0), (f32::MAX, f32::MAX)] {
            let x = Activations::pack(kernels, Precision::Int8, &[value; 5], 1, 5);
            let first = |_: usize, row: &mut [f32]| row.copy_from_slice(&[1.0, 0.0, 0.0, 0.0, 0.0]);
            let y = x.product(&first, 1)[0];
            assert!((y - expected).abs() <= 1e-6 * expected, "{kernels:?}: {y} for {expected}");
        }
    }
}

/// Splits tokens and outputs among threads, with strides that leave gaps, and compares.
#[test]
fn threads_strides_and_accumulation() {
    let (n_tokens, r, outputs, stride_x, stride_y) = (29, 131, 320, 137, 333);
    let case = Case::new(n_tokens, r, outputs);
    let mut x = vec![f32::NAN; n_tokens * stride_x];
    for t in 0..n_tokens {
        x[t * stride_x..][..r].copy_from_slice(&case.left[t * r..][..r]);
    }
    for kernels in levels() {
        for precision in PRECISIONS {
            let whole = case.forward(kernels, precision);
            for transposed in [false, true] {
                let mut y = vec![2.0f32; n_tokens * stride_y];
                for accumulate in [false, true] {
                    split(&case, kernels, precision, &x, &mut y, transposed, accumulate);
                }
                for (i, &y) in y.iter().enumerate() {
                    let (t, m) = (i / stride_y, i % stride_y);
                    let expected = if m < outputs { 2.0 * whole[t * outputs + m] } else { 2.0 };
                    assert_eq!(y, expected, "{kernels:?} {precision:?} {transposed} ({t}, {m})");
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: the threads of this test access disjoint elements, or read only.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn pointer(&self) -> *mut T {
        self.0
    }
}

fn split(
    case: &Case,
    kernels: Kernels,
    precision: Precision,
    x: &[f32],
    y: &mut [f32],
    transposed: bool,
    accumulate: bool,
) {
    let shape = PackedShape { precision, n_tokens: case.n_tokens, r: case.r };
    let mut buffer = vec![0u8; shape.bytes() + 128];
    // The weakest alignment that the contract allows.
    let padding = buffer.as_ptr().align_offset(64) + 4;
    let packed = Shared(buffer[padding..].as_mut_ptr());
    let y = Shared(y.as_mut_ptr());
    let stride = x.len() / case.n_tokens;
    std::thread::scope(|scope| {
        for tokens in [0..4, 4..23, 23..29] {
            let packed = &packed;
            // SAFETY: rows and buffer have the shape's sizes; the threads' tokens are disjoint.
            scope.spawn(move || unsafe {
                kernels.pack(shape, x.as_ptr(), stride, tokens, packed.pointer());
            });
        }
    });
    std::thread::scope(|scope| {
        for part in [0..32, 32..288, 288..288, 288..320] {
            let (packed, y) = (&packed, &y);
            scope.spawn(move || {
                let out = Output { data: y.pointer(), stride: 333, accumulate };
                let scratch = &mut Scratch::new();
                let row = |m: usize, row: &mut [f32]| {
                    row.copy_from_slice(&case.right[m * case.r..][..case.r]);
                };
                let columns = |m: usize, k: usize, part: &mut [f32]| {
                    assert_eq!(k % 32, 0, "parts begin where blocks do");
                    for (i, x) in part.iter_mut().enumerate() {
                        *x = case.right[(k + i) * case.r + m];
                    }
                };
                // SAFETY: all tokens are packed; the threads' outputs are disjoint.
                unsafe {
                    match transposed {
                        false => kernels.product(shape, packed.pointer(), &row, part, out, scratch),
                        true => kernels.product_transposed(
                            shape,
                            packed.pointer(),
                            &columns,
                            part,
                            out,
                            scratch,
                        ),
                    }
                }
            });
        }
    });
}

#[test]
fn every_row_is_unpacked_once() {
    let kernels = Kernels::detect().expect("a level");
    let count = std::cell::Cell::new(0usize);
    let x = Activations::pack(kernels, Precision::Int8, &vec![1.0; 200 * 3000], 200, 3000);
    x.product(&|_, row| count.set(count.get() + row.len()), 77);
    assert_eq!(count.take(), 77 * 3000);
    x.product_transposed(&|_, _, part| count.set(count.get() + part.len()), 577);
    assert_eq!(count.take(), 577 * 3000);
}
