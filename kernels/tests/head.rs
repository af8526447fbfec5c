//! The fused head against the obvious way, bit for bit: logits, log-softmax, gradient, product.

mod support;

use std::ops::Range;
use std::thread;

use cutq_kernels::{
    HeadInput, HeadShape, Kernels, LogProb, LogitGradient, Output, Packed, PackedActivations,
    Precision, Scratch, VOCAB_PART, Weights,
};
use support::{levels, numbers, plain, sizes};

const PRECISIONS: [Precision; 2] = [Precision::Int8, Precision::F32];

/// `(T, K, V)`: nothing, one, around groups and strips of tokens, blocks, panels and parts; a sum
/// in two parts.
const SHAPES: &[(usize, usize, usize)] = sizes(
    &[
        (0, 32, 100),
        (1, 1, 1),
        (1, 32, 1024),
        (5, 33, 31),
        (6, 64, 33),
        (7, 95, 1025),
        (13, 40, 2048),
        (48, 32, 129),
        (49, 70, 1300),
        (101, 16, 3100),
        (3, 1100, 300),
        (2, 2080, 1100),
    ],
    &[(0, 32, 100), (7, 3, 5), (2, 33, 70)],
);

/// A head, its targets, and what the threads of a test share.
struct Case {
    shape: HeadShape,
    /// `(T, K)`
    x: Vec<f32>,
    /// `(V, K)`
    w: Vec<f32>,
    labels: Vec<u32>,
    weights: Vec<f32>,
}

impl Case {
    fn new((n_tokens, n_embd, n_vocab): (usize, usize, usize), precision: Precision) -> Case {
        let seed = (n_tokens * 1_000_003 + n_embd * 1009 + n_vocab) as u64;
        let label = |t: usize| (t * 7919 + 5) % n_vocab;
        let weight = |t: usize| [1.0, -0.3, 0.0, 2.5][t % 4];
        Case {
            shape: HeadShape { precision, n_tokens, n_embd, n_vocab },
            x: numbers(n_tokens * n_embd, seed),
            w: numbers(n_vocab * n_embd, seed + 1),
            // The first and the last row of the vocabulary among them.
            labels: (0..n_tokens)
                .map(|t| match t {
                    1 => 0,
                    2 => n_vocab as u32 - 1,
                    t => label(t) as u32,
                })
                .collect(),
            weights: (0..n_tokens).map(weight).collect(),
        }
    }

    fn all(precision: Precision) -> impl Iterator<Item = Case> {
        SHAPES.iter().map(move |&shape| Case::new(shape, precision))
    }

    /// `W` from row `first` on.
    fn weights(&self, first: usize) -> impl Weights {
        let n_embd = self.shape.n_embd;
        move |m: usize, k: usize, part: &mut [f32]| {
            part.copy_from_slice(&self.w[(first + m) * n_embd + k..][..part.len()]);
        }
    }

    fn name(&self, kernels: Kernels) -> String {
        format!("{kernels:?} {:?}", self.shape)
    }

    /// Log-probabilities and `dx` by way of the logits.
    fn obvious(&self, kernels: Kernels) -> (Vec<LogProb>, Vec<f32>) {
        let HeadShape { precision, n_tokens, n_embd, n_vocab } = self.shape;
        let x = PackedActivations::pack(kernels, precision, &self.x, n_tokens, n_embd);
        let mut logits = x.product(&self.weights(0), n_vocab);
        let mut found = Vec::new();
        for (t, row) in logits.chunks_mut(n_vocab).enumerate() {
            let label = self.labels[t] as usize;
            let (log_prob, log_sum_exp) = (kernels.log_prob(row, label), kernels.log_sum_exp(row));
            found.push(LogProb { log_prob, log_sum_exp });
            let gradient = LogitGradient::new(label, log_sum_exp, self.weights[t]);
            kernels.log_prob_backward(row, gradient);
        }
        let dlogits = PackedActivations::pack(kernels, precision, &logits, n_tokens, n_vocab);
        (found, dlogits.product_transposed(&self.weights(0), n_embd))
    }

    /// The same without the logits, on some threads, `chunk` rows of the vocabulary at a time.
    fn fused(&self, kernels: Kernels, n_threads: usize, chunk: usize) -> (Vec<LogProb>, Vec<f32>) {
        let packed = Bytes::new(self.shape.activations().bytes());
        let x = self.x.as_ptr();
        // SAFETY: `x` and the buffer have the shape's size.
        unsafe {
            let shape = self.shape.activations();
            kernels.pack(shape, x, shape.r, 0..shape.n_tokens, packed.pointer());
        }
        let found = self.forward(kernels, n_threads, &packed);
        let dx = self.backward(kernels, n_threads, chunk, &packed, &found);
        (found, dx)
    }

    fn forward(&self, kernels: Kernels, n_threads: usize, packed: &Bytes) -> Vec<LogProb> {
        let shape = self.shape;
        let mut sums = vec![f32::NAN; shape.sums_len()];
        let out = Shared(sums.as_mut_ptr());
        thread::scope(|scope| {
            for rows in shares(0..shape.n_vocab, VOCAB_PART, n_threads) {
                scope.spawn(move || {
                    let mut scratch = Scratch::new();
                    let weights = &self.weights(0);
                    let input = HeadInput { shape, packed: packed.pointer(), weights };
                    let (labels, sums) = (&self.labels, out.pointer());
                    // SAFETY: packed above; the threads' rows are disjoint.
                    unsafe {
                        kernels.head_sums(input, rows, labels, sums, &mut scratch);
                    }
                    assert!(scratch.bytes() <= shape.scratch_bytes(), "{shape:?}");
                });
            }
        });
        shape.log_probs(&sums)
    }

    fn backward(
        &self,
        kernels: Kernels,
        n_threads: usize,
        chunk: usize,
        packed: &Bytes,
        found: &[LogProb],
    ) -> Vec<f32> {
        let shape = self.shape;
        let gradients: Vec<_> = (0..shape.n_tokens)
            .map(|t| {
                let label = self.labels[t] as usize;
                LogitGradient::new(label, found[t].log_sum_exp, self.weights[t])
            })
            .collect();
        let mut dx = vec![f32::NAN; self.x.len()];
        let dlogits = Bytes::new(shape.dlogits(chunk).bytes());
        for first in (0..shape.n_vocab).step_by(chunk) {
            let chunk = first..(first + chunk).min(shape.n_vocab);
            thread::scope(|scope| {
                for rows in shares(chunk.clone(), 32, n_threads) {
                    let (chunk, gradients, dlogits) = (chunk.clone(), &gradients, &dlogits);
                    scope.spawn(move || {
                        let mut scratch = Scratch::new();
                        let weights = &self.weights(0);
                        let input = HeadInput { shape, packed: packed.pointer(), weights };
                        let dlogits = dlogits.pointer();
                        // SAFETY: packed above; the threads' rows are disjoint.
                        unsafe {
                            kernels.head_dlogits(
                                input,
                                chunk,
                                rows,
                                gradients,
                                dlogits,
                                &mut scratch,
                            );
                        }
                    });
                }
            });
            let out = Shared(dx.as_mut_ptr());
            thread::scope(|scope| {
                for columns in shares(0..shape.n_embd, 32, n_threads) {
                    let (chunk, dlogits) = (chunk.clone(), &dlogits);
                    scope.spawn(move || {
                        let mut scratch = Scratch::new();
                        let accumulate = chunk.start > 0;
                        let out = Output { data: out.pointer(), stride: shape.n_embd, accumulate };
                        let shape = shape.dlogits(chunk.len());
                        let dlogits = Packed { shape, data: dlogits.pointer() };
                        // SAFETY: packed above; the threads' columns are disjoint.
                        unsafe {
                            kernels.product_transposed(
                                dlogits,
                                &self.weights(chunk.start),
                                columns,
                                out,
                                &mut scratch,
                            );
                        }
                        assert!(scratch.bytes() <= shape.scratch_bytes(), "{shape:?}");
                    });
                }
            });
        }
        dx
    }
}

/// Bytes aligned as weakly as packed activations may be.
struct Bytes(Vec<u32>);

impl Bytes {
    fn new(bytes: usize) -> Bytes {
        Bytes(vec![u32::MAX; bytes / 4])
    }

    fn pointer(&self) -> *mut u8 {
        self.0.as_ptr().cast_mut().cast()
    }
}

#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: the threads of these tests write disjoint elements.
unsafe impl<T> Send for Shared<T> {}

impl<T> Shared<T> {
    fn pointer(self) -> *mut T {
        self.0
    }
}

/// A range in `n` parts that begin at multiples of `unit` from its start; some may be empty.
fn shares(range: Range<usize>, unit: usize, n: usize) -> impl Iterator<Item = Range<usize>> {
    let units = range.len().div_ceil(unit);
    let bound = move |i: usize| (range.start + units * i / n * unit).min(range.end);
    (0..n).map(move |i| bound(i)..bound(i + 1))
}

/// Distinguishes zeros by their sign; all NaN are the same.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
}

fn pairs(found: &[LogProb]) -> Vec<(u64, u64)> {
    let bits = |x: f64| if x.is_nan() { u64::MAX } else { x.to_bits() };
    found.iter().map(|f| (bits(f.log_prob), bits(f.log_sum_exp))).collect()
}

#[test]
fn agrees_with_the_obvious_way_bit_for_bit() {
    for precision in PRECISIONS {
        for case in Case::all(precision) {
            let (log_probs, dx) = case.obvious(plain());
            for kernels in levels() {
                let (found, found_dx) = case.fused(kernels, 1, VOCAB_PART);
                assert_eq!(pairs(&found), pairs(&log_probs), "{}", case.name(kernels));
                assert_eq!(bits(&found_dx), bits(&dx), "{}", case.name(kernels));
            }
        }
    }
}

#[test]
fn threads_and_chunks_change_nothing() {
    for precision in PRECISIONS {
        for case in Case::all(precision) {
            let kernels = Kernels::detect().expect("a level");
            let (log_probs, dx) = case.fused(kernels, 1, VOCAB_PART);
            for &(n_threads, parts) in sizes(&[(2, 1), (3, 2), (1, 9), (7, 3)][..], &[(3, 1)]) {
                let (found, found_dx) = case.fused(kernels, n_threads, parts * VOCAB_PART);
                assert_eq!(pairs(&found), pairs(&log_probs), "{n_threads} {:?}", case.shape);
                assert_eq!(bits(&found_dx), bits(&dx), "{n_threads} {:?}", case.shape);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow; the other tests access the same memory")]
fn what_is_not_finite_stays_so() {
    for precision in PRECISIONS {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for kernels in levels() {
                let mut case = Case::new((9, 40, 2100), precision);
                case.x[4 * 40 + 7] = poison;
                let (found, dx) = case.fused(kernels, 2, VOCAB_PART);
                for (t, (found, dx)) in found.iter().zip(dx.chunks(40)).enumerate() {
                    let name = format!("{} {poison} {t}", case.name(kernels));
                    assert_eq!(found.log_prob.is_nan(), t == 4, "{name}");
                    // A weight of zero does not hide it.
                    assert_eq!(dx.iter().all(|x| x.is_nan()), t == 4, "{name}");
                    assert_eq!(dx.iter().any(|x| x.is_nan()), t == 4, "{name}");
                }

                // A row of the vocabulary that no token can have a probability for.
                let mut case = Case::new((9, 40, 2100), precision);
                case.w[1500 * 40] = f32::NAN;
                let (found, _) = case.fused(kernels, 2, VOCAB_PART);
                assert!(found.iter().all(|f| f.log_prob.is_nan() && f.log_sum_exp.is_nan()));
            }
        }
    }
}

/// Logits as they are: `x` is 1, the weights of one column are the logits.
fn of_logits(logits: &[f32], label: u32) -> Case {
    let shape =
        HeadShape { precision: Precision::F32, n_tokens: 1, n_embd: 1, n_vocab: logits.len() };
    let w = logits.to_vec();
    Case { shape, x: vec![1.0], w, labels: vec![label], weights: vec![1.0] }
}

#[test]
#[cfg_attr(miri, ignore = "too slow; the other tests access the same memory")]
fn extreme_logits() {
    for kernels in levels() {
        let mut logits: Vec<f32> = (0..2500).map(|v| (v % 17) as f32).collect();
        // A whole part is impossible, and parts of others.
        logits[..1030].fill(f32::NEG_INFINITY);
        logits[2400] = 1e30;
        for (label, expected) in [(2400, 0.0), (3, f64::NEG_INFINITY), (2000, -1e30)] {
            let (found, dx) = of_logits(&logits, label).fused(kernels, 2, VOCAB_PART);
            let found = found[0];
            let expected: f64 = expected;
            let error = (found.log_prob - expected).abs();
            assert!(found.log_prob == expected || error < 1e-6 * expected.abs(), "{found:?}");
            assert!((found.log_sum_exp - 1e30).abs() < 1e24, "{found:?}");
            // 0 · -inf in the product: the gradient of an impossible token is not hidden.
            assert!(dx[0].is_nan());
        }
        logits.fill(f32::NEG_INFINITY);
        assert!(of_logits(&logits, 0).fused(kernels, 1, VOCAB_PART).0[0].log_prob.is_nan());
        logits[2000] = 3.0;
        let found = of_logits(&logits, 2000).fused(kernels, 1, VOCAB_PART).0[0];
        assert_eq!((found.log_prob, found.log_sum_exp), (0.0, 3.0));
    }
}

#[test]
#[cfg_attr(miri, ignore = "counts calls; touches no other memory")]
fn every_row_is_unpacked_once() {
    let kernels = Kernels::detect().expect("a level");
    let shape = HeadShape { precision: Precision::Int8, n_tokens: 99, n_embd: 64, n_vocab: 2500 };
    let (packed, labels) = (Bytes::new(shape.activations().bytes()), vec![0; 99]);
    let count = std::cell::Cell::new(0usize);
    let weights = &|_: usize, _: usize, part: &mut [f32]| count.set(count.get() + part.len());
    let mut sums = vec![0.0; shape.sums_len()];
    let scratch = &mut Scratch::new();
    let input = HeadInput { shape, packed: packed.pointer(), weights };
    // SAFETY: one thread, buffers of the shape's sizes; any bytes are quants and scales.
    unsafe {
        kernels.head_sums(input, 0..2500, &labels, sums.as_mut_ptr(), scratch);
    }
    assert_eq!(count.take(), 2500 * 64);
    let dlogits = Bytes::new(shape.dlogits(1024).bytes());
    let gradients = vec![LogitGradient::new(0, 1.0, 1.0); 99];
    for rows in [1024..1504, 1504..2048] {
        let (chunk, dlogits) = (1024..2048, dlogits.pointer());
        // SAFETY: as above.
        unsafe {
            kernels.head_dlogits(input, chunk, rows, &gradients, dlogits, scratch);
        }
    }
    assert_eq!(count.take(), 1024 * 64);
}

#[test]
fn chunks_keep_to_their_budget() {
    for precision in PRECISIONS {
        for n_tokens in [0, 1, 100, 1024, 5000] {
            let shape = HeadShape { precision, n_tokens, n_embd: 2048, n_vocab: 1 << 18 };
            let chunk = shape.chunk();
            assert!(chunk >= VOCAB_PART && chunk.is_multiple_of(VOCAB_PART));
            let bytes = shape.dlogits(chunk).bytes();
            assert!(bytes <= 4 << 20 || chunk == VOCAB_PART, "{shape:?}: {bytes}");
            assert!(shape.scratch_bytes() <= 4 << 20, "{shape:?}");
        }
    }
}
