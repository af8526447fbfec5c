//! Both products, both precisions, every level of this CPU, over awkward shapes.

mod support;

use std::ops::Range;

use cutq_kernels::{Kernels, Output, Packed, PackedActivations, PackedShape, Precision, Scratch};
use support::{levels, numbers, sizes};

/// Precisions are tested alike.
const PRECISIONS: [Precision; 2] = [Precision::Int8, Precision::F32];

/// So are orientations, which quantize the weights differently.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Orientation {
    Forward,
    Transposed,
}
use Orientation::{Forward, Transposed};

const ORIENTATIONS: [Orientation; 2] = [Forward, Transposed];

/// Lengths around a block, a panel, and the depth of a part of the sum.
const LENGTHS: [usize; 10] = [1, 3, 31, 32, 33, 64, 95, 257, 1024, 1100];

/// Multiply-adds of the largest case.
const LARGEST: usize = sizes(1 << 30, 4096);

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

    fn product(&self, kernels: Kernels, precision: Precision, way: Orientation) -> Vec<f32> {
        match way {
            Forward => self.forward(kernels, precision),
            Transposed => self.transposed(kernels, precision),
        }
    }

    fn forward(&self, kernels: Kernels, precision: Precision) -> Vec<f32> {
        let unpack = |m: usize, k: usize, part: &mut [f32]| {
            part.copy_from_slice(&self.right[m * self.r + k..][..part.len()]);
        };
        PackedActivations::pack(kernels, precision, &self.left, self.n_tokens, self.r)
            .product(&unpack, self.outputs)
    }

    fn transposed(&self, kernels: Kernels, precision: Precision) -> Vec<f32> {
        let unpack = |m: usize, k: usize, part: &mut [f32]| {
            for (i, x) in part.iter_mut().enumerate() {
                *x = self.right[(k + i) * self.r + m];
            }
        };
        PackedActivations::pack(kernels, precision, &self.left, self.n_tokens, self.r)
            .product_transposed(&unpack, self.outputs)
    }

    /// `(value, Σ |left| size(right))` of each output, from operands rounded as `precision` says.
    fn reference(&self, precision: Precision, way: Orientation) -> Vec<(f64, f64)> {
        let (left, right) = match (precision, way) {
            (Precision::F32, _) => {
                (rows(&self.left, self.r, exact), rows(&self.right, self.r, exact))
            }
            (Precision::Int8, Forward) => {
                (rows(&self.left, self.r, symmetric), rows(&self.right, self.r, affine))
            }
            (Precision::Int8, Transposed) => {
                (rows(&self.left, self.r, symmetric), rows(&self.right, self.r, biased))
            }
        };
        sums(&left, &right, self.r)
    }

    fn name(&self) -> String {
        format!("{} tokens, R {}, {} outputs", self.n_tokens, self.r, self.outputs)
    }
}

/// An element of an operand and the size of the numbers that a product adds for it.
#[derive(Clone, Copy)]
struct Element {
    value: f64,
    size: f64,
}

impl Element {
    /// `offset + scaled`, which enter a sum one after the other.
    fn new(offset: f64, scaled: f64) -> Element {
        Element { value: offset + scaled, size: offset.abs() + scaled.abs() }
    }
}

/// Rows of `r` elements after rounding in blocks of 32.
fn rows(x: &[f32], r: usize, round: impl Fn(&[f32]) -> Vec<Element>) -> Vec<Element> {
    x.chunks(r).flat_map(|row| row.chunks(32)).flat_map(round).collect()
}

/// `(Σ left right, Σ |left| size(right))` of every pair of rows.
fn sums(left: &[Element], right: &[Element], r: usize) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for left in left.chunks(r) {
        for right in right.chunks(r) {
            let pairs = left.iter().zip(right);
            let value = pairs.clone().map(|(a, b)| a.value * b.value).sum();
            out.push((value, pairs.map(|(a, b)| a.size * b.size).sum()));
        }
    }
    out
}

// The roundings, written independently of the crate.

fn exact(block: &[f32]) -> Vec<Element> {
    block.iter().map(|&x| Element::new(0.0, f64::from(x))).collect()
}

/// `s q` with `s = amax / 127`
fn symmetric(block: &[f32]) -> Vec<Element> {
    let (scale, quants) = symmetric_quants(block, 127.0);
    quants.map(|q| Element::new(0.0, scale * q)).collect()
}

/// `-64 s + s (q + 64)` with `s = amax / 63`
fn biased(block: &[f32]) -> Vec<Element> {
    let (scale, quants) = symmetric_quants(block, 63.0);
    quants.map(|q| Element::new(-64.0 * scale, scale * (q + 64.0))).collect()
}

fn symmetric_quants(block: &[f32], largest: f32) -> (f64, impl Iterator<Item = f64>) {
    let amax = magnitude(block);
    let inverse = if amax == 0.0 { 0.0 } else { largest / amax };
    let quants = block.iter().map(move |x| f64::from((x * inverse).round_ties_even()));
    (f64::from(amax / largest), quants)
}

/// `min + s u` with `s = (max - min) / 255`
fn affine(block: &[f32]) -> Vec<Element> {
    let (min, range) = (min(block), range(block));
    let inverse = if range == 0.0 { 0.0 } else { 255.0 / range };
    let scale = f64::from(range) / 255.0;
    let quant = |x: &f32| f64::from(((x - min) * inverse).round_ties_even());
    block.iter().map(|x| Element::new(f64::from(min), scale * quant(x))).collect()
}

fn magnitude(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |amax, x| amax.max(x.abs()))
}

fn min(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::INFINITY, f32::min)
}

fn range(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max) - min(x)
}

fn cases() -> impl Iterator<Item = Case> {
    let tokens = (0..=13).flat_map(|t| [(t, 64, 32), (t, 95, 33)]);
    let lengths = LENGTHS.into_iter().flat_map(|r| [(7, r, 40), (2, r, 300)]);
    let outputs = [1, 2, 15, 16, 17, 31, 32, 63, 100, 255, 256, 257].map(|m| (8, 70, m));
    let long = [(100, 1056, 33), (101, 2080, 65), (3, 0, 5), (3, 5, 0)];
    let all = tokens.chain(lengths).chain(outputs).chain(long);
    all.filter(|&(t, r, m): &(usize, usize, usize)| t * r * m.next_multiple_of(32) <= LARGEST)
        .map(|(t, r, m)| Case::new(t, r, m))
}

/// f32 rounding of a sum taken in parts of at most 64 additions in int8 and 256 in f32, relative
/// to the sizes of what is added; three times the worst that these cases show.
const SUM_TOLERANCE: f64 = 2e-6;

#[test]
fn plain_agrees_with_f64() {
    let plain = support::plain();
    for case in cases() {
        for precision in PRECISIONS {
            for way in ORIENTATIONS {
                let reference = match case.r {
                    0 => vec![(0.0, 0.0); case.n_tokens * case.outputs],
                    _ => case.reference(precision, way),
                };
                let y = case.product(plain, precision, way);
                assert_eq!(y.len(), reference.len());
                for (y, (value, magnitude)) in y.iter().zip(&reference) {
                    let error = (f64::from(*y) - value).abs();
                    let name = case.name();
                    assert!(error <= SUM_TOLERANCE * magnitude, "{way:?} {name}: {y} for {value}");
                }
            }
        }
    }
}

#[test]
fn int8_is_within_its_error_bound() {
    // Activations are off by at most amax / 254 of their block, rows of weights by range / 510 and
    // columns by amax / 126.
    let plain = support::plain();
    let outputs = sizes(40, 8);
    let case = Case::new(sizes(9, 2), 64, outputs);
    let exact = case.reference(Precision::F32, Forward);
    for way in ORIENTATIONS {
        let step = |block: &[f32]| match way {
            Forward => range(block) / 510.0,
            Transposed => magnitude(block) / 126.0,
        };
        let y = case.product(plain, Precision::Int8, way);
        let mut largest: f64 = 0.0;
        for (i, (y, (value, _))) in y.iter().zip(&exact).enumerate() {
            let left = case.left[i / outputs * 64..][..64].chunks(32);
            let right = case.right[i % outputs * 64..][..64].chunks(32);
            let element = |(a, b): (&[f32], &[f32])| {
                magnitude(a) * step(b) + magnitude(a) / 254.0 * magnitude(b)
            };
            // Half a per cent for the product of both errors and for f32 rounding.
            let bound: f32 = left.zip(right).map(|pair| 32.0 * 1.005 * element(pair)).sum();
            let error = (f64::from(*y) - value).abs();
            assert!(error <= f64::from(bound), "{way:?}: {y} for {value}");
            largest = largest.max(error);
        }
        assert!(largest > 0.0, "int8 cannot be exact here");
    }
}

#[test]
fn constant_blocks_are_exact() {
    // Their activations' quants are integers already, so nothing is rounded but the sums; all are
    // positive, so nothing cancels.
    let (n_tokens, r, outputs) = (3, 70, 8);
    let left: Vec<f32> = (0..n_tokens * r)
        .map(|i| if i % r % 32 == 0 { 127.0 } else { (i * 31 % 127) as f32 })
        .collect();
    let constants = [0.0, -0.0, 0.1, -7.3, 1e-39, 3e20, -1e-12, 0.7];
    let right: Vec<f32> = constants.iter().flat_map(|&w| [w; 70]).collect();
    let case = Case { n_tokens, r, outputs, left, right };
    for kernels in levels() {
        let y = case.forward(kernels, Precision::Int8);
        for (i, y) in y.iter().enumerate() {
            let sum: f32 = case.left[i / outputs * r..][..r].iter().sum();
            let expected = f64::from(sum) * f64::from(constants[i % outputs]);
            let error = (f64::from(*y) - expected).abs();
            let rounding = 3.0 * f64::from(f32::EPSILON) * expected.abs() + 1e-44;
            assert!(error <= rounding, "{kernels:?}: {y} for {expected}");
        }
    }
}

#[test]
fn padding_does_not_coarsen_a_block() {
    // Six elements in the last block, far from zero: padded with zeros the range would be 1000.
    let right: Vec<f32> = (0..38).map(|i| if i < 32 { 0.0 } else { 1000.0 + i as f32 }).collect();
    let left: Vec<f32> = (0..38).map(|i| if i == 35 { 1.0 } else { 0.0 }).collect();
    let case = Case { n_tokens: 1, r: 38, outputs: 1, left, right };
    for kernels in levels() {
        let y = case.forward(kernels, Precision::Int8)[0];
        assert!((y - 1035.0).abs() < 1e-3, "{kernels:?}: {y}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has only the plain level")]
fn levels_agree_bit_for_bit() {
    let levels = levels();
    for case in cases() {
        for precision in PRECISIONS {
            for way in ORIENTATIONS {
                let plain = case.product(levels[0], precision, way);
                for &kernels in &levels[1..] {
                    let y = case.product(kernels, precision, way);
                    let name = format!("{kernels:?} {precision:?} {way:?}: {}", case.name());
                    assert_eq!(bits(&y), bits(&plain), "{name}");
                }
            }
        }
    }
}

#[test]
fn orientations_agree_in_f32() {
    for kernels in levels() {
        for case in cases() {
            let [forward, transposed] =
                ORIENTATIONS.map(|way| case.product(kernels, Precision::F32, way));
            assert_eq!(bits(&forward), bits(&transposed), "{kernels:?} {}", case.name());
        }
    }
}

/// Distinguishes zeros by their sign, which `==` does not.
fn bits(y: &[f32]) -> Vec<u32> {
    y.iter().map(|y| y.to_bits()).collect()
}

#[test]
fn what_is_not_finite_stays_so() {
    // In the first block, inside a whole one, and at both ends of a partial one.
    let positions: &[usize] = sizes(&[0, 45, 64, 69], &[32]);
    let (n_tokens, r, outputs) = sizes((7, 70, 40), (4, 33, 4));
    for kernels in levels() {
        for precision in PRECISIONS {
            for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for position in positions {
                    for poison_left in [true, false] {
                        let mut case = Case::new(n_tokens, r, outputs);
                        let row = if poison_left { &mut case.left } else { &mut case.right };
                        row[3 * r + position] = poison;
                        for way in ORIENTATIONS {
                            let y = case.product(kernels, precision, way);
                            for (i, y) in y.iter().enumerate() {
                                let poisoned =
                                    if poison_left { i / outputs == 3 } else { i % outputs == 3 };
                                let name = format!("{kernels:?} {precision:?} {way:?} {i}");
                                assert_eq!(!y.is_finite(), poisoned, "{name}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn extreme_blocks() {
    // Blocks of zeros, of subnormals (taken as zero), and the largest whose sums are finite.
    let largest = 2.0f32.powi(122);
    for kernels in levels() {
        let first = |_: usize, _: usize, row: &mut [f32]| {
            row.fill(0.0);
            row[0] = 1.0;
        };
        for (value, expected) in [(0.0, 0.0), (1e-40, 0.0), (largest, largest)] {
            let x = PackedActivations::pack(kernels, Precision::Int8, &[value; 32], 1, 32);
            let y = x.product(&first, 1)[0];
            assert!((y - expected).abs() <= 1e-6 * expected, "{kernels:?}: {y} for {expected}");
        }
        let row =
            |row: [f32; 2]| move |_: usize, _: usize, part: &mut [f32]| part.copy_from_slice(&row);
        // Weights up to the largest number, as long as their range is one.
        let x = PackedActivations::pack(kernels, Precision::Int8, &[1.0, 0.0], 1, 2);
        let y = x.product(&row([f32::MAX, 0.0]), 1)[0];
        assert!((y - f32::MAX).abs() <= 1e-6 * f32::MAX, "{kernels:?}: {y}");
        // Sums and ranges beyond f32 show.
        let x = PackedActivations::pack(kernels, Precision::Int8, &[f32::MAX; 32], 1, 32);
        assert!(!x.product(&first, 1)[0].is_finite(), "{kernels:?}");
        let x = PackedActivations::pack(kernels, Precision::Int8, &[0.0, 1.0], 1, 2);
        assert!(x.product(&row([f32::MAX, -f32::MAX]), 1)[0].is_nan(), "{kernels:?}");
    }
}

/// The tokens that each thread packs.
const TOKENS: [Range<usize>; 3] =
    if cfg!(miri) { [0..1, 1..3, 3..4] } else { [0..4, 4..23, 23..29] };

/// The outputs that each thread computes.
const OUTPUTS: [Range<usize>; 4] =
    if cfg!(miri) { [0..32, 32..33, 33..33, 33..33] } else { [0..32, 32..288, 288..288, 288..320] };

/// Splits tokens and outputs among threads, with strides that leave gaps, and compares.
#[test]
fn threads_strides_and_accumulation() {
    let (n_tokens, outputs) = (TOKENS[2].end, OUTPUTS[3].end);
    let (r, stride_x, stride_y) = sizes((131, 137, 333), (33, 37, 39));
    let case = Case::new(n_tokens, r, outputs);
    let mut x = vec![f32::NAN; n_tokens * stride_x];
    for t in 0..n_tokens {
        x[t * stride_x..][..r].copy_from_slice(&case.left[t * r..][..r]);
    }
    for kernels in levels() {
        for precision in PRECISIONS {
            for way in ORIENTATIONS {
                let whole = case.product(kernels, precision, way);
                let mut y = vec![2.0f32; n_tokens * stride_y];
                for accumulate in [false, true] {
                    split(&case, kernels, precision, &x, &mut y, way, accumulate);
                }
                for (i, &y) in y.iter().enumerate() {
                    let (t, m) = (i / stride_y, i % stride_y);
                    let expected = if m < outputs { 2.0 * whole[t * outputs + m] } else { 2.0 };
                    assert_eq!(y, expected, "{kernels:?} {precision:?} {way:?} ({t}, {m})");
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
    way: Orientation,
    accumulate: bool,
) {
    let shape = PackedShape { precision, n_tokens: case.n_tokens, r: case.r };
    let mut buffer = vec![0u8; shape.bytes() + 128];
    // The weakest alignment that the contract allows.
    let padding = buffer.as_ptr().align_offset(64) + 4;
    let packed = Shared(buffer[padding..].as_mut_ptr());
    let stride_y = y.len() / case.n_tokens;
    let y = Shared(y.as_mut_ptr());
    let stride = x.len() / case.n_tokens;
    std::thread::scope(|scope| {
        for tokens in TOKENS {
            let packed = &packed;
            // SAFETY: rows and buffer have the shape's sizes; the threads' tokens are disjoint.
            scope.spawn(move || unsafe {
                kernels.pack(shape, x.as_ptr(), stride, tokens, packed.pointer());
            });
        }
    });
    std::thread::scope(|scope| {
        for part in OUTPUTS {
            let (packed, y) = (&packed, &y);
            scope.spawn(move || {
                let out = Output { data: y.pointer(), stride: stride_y, accumulate };
                let packed = Packed { shape, data: packed.pointer() };
                let scratch = &mut Scratch::new();
                let rows = |m: usize, k: usize, part: &mut [f32]| {
                    part.copy_from_slice(&case.right[m * case.r + k..][..part.len()]);
                };
                let columns = |m: usize, k: usize, part: &mut [f32]| {
                    assert_eq!(k % 32, 0, "parts begin where blocks do");
                    for (i, x) in part.iter_mut().enumerate() {
                        *x = case.right[(k + i) * case.r + m];
                    }
                };
                // SAFETY: all tokens are packed; the threads' outputs are disjoint.
                unsafe {
                    match way {
                        Forward => kernels.product(packed, &rows, part, out, scratch),
                        Transposed => {
                            kernels.product_transposed(packed, &columns, part, out, scratch)
                        }
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
    let (n_tokens, r, outputs) = sizes((200, 3000, 577), (1, 3, 257));
    let x =
        PackedActivations::pack(kernels, Precision::Int8, &vec![1.0; n_tokens * r], n_tokens, r);
    let w = |_: usize, _: usize, part: &mut [f32]| count.set(count.get() + part.len());
    x.product(&w, 77);
    assert_eq!(count.take(), 77 * r);
    x.product_transposed(&w, outputs);
    assert_eq!(count.take(), outputs * r);
}
