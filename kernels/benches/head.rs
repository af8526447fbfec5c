//! Speed of the fused head beside the measured peak of its arithmetic.
//!
//! `cargo bench -p cutq-kernels --bench head [-- LEVEL…]`. Counted are the products, one forward
//! and two backward; one multiplication and one addition are two operations. The weights are f32
//! rows that the closure copies, so unpacking a real quantization comes on top. Every measured pass
//! is compared with sums in f64 for some of its targets.

mod support;

use std::thread;

use cutq_kernels::{
    COLUMNS, HeadInput, HeadShape, Kernels, LogProb, LogitGradient, Output, Packed, Precision,
    Scratch, VOCAB_PART,
};
use support::threads::{Shared, shares};
use support::timing::{self, report, seconds, sizes};
use support::{number, peak};

/// `(T, K, V)`: SmolLM2-135M's head, a part of Gemma 3 270M's, few targets, and a wide model.
const SHAPES: &[(usize, usize, usize)] =
    &[(512, 576, 49_152), (512, 640, 65_536), (48, 576, 49_152), (512, 2048, 16_384)];

/// A strip of tokens and one more, parts of a vocabulary that repeats twice.
const TESTED: &[(usize, usize, usize)] = &[(7, 64, DISTINCT), (49, 40, 2 * DISTINCT)];

/// Rows of `W` that differ; the vocabulary repeats them.
const DISTINCT: usize = 4096;

fn main() {
    for kernels in timing::kernels() {
        for precision in [Precision::Int8, Precision::F32] {
            for threads in [1, 2] {
                let peak = peak::measure(kernels.level(), precision, threads);
                let level = kernels.level();
                report!("\n{level} {precision:?}, {threads} thread(s), peak {peak:.0} Gop/s");
                report!("    T      K       V   forward ms   Gop/s   backward ms   Gop/s");
                for &shape in sizes(SHAPES, TESTED) {
                    report(&mut Case::new(kernels, precision, threads, shape), peak);
                }
            }
        }
    }
}

fn report(case: &mut Case, peak: f64) {
    let HeadShape { n_tokens, n_embd, n_vocab, .. } = case.shape;
    let operations = 2.0 * (n_tokens * n_embd * n_vocab) as f64;
    let mut found = Vec::new();
    let forward = seconds(|| found = case.forward());
    let backward = seconds(|| case.backward(&found));
    case.check(&found);
    let rates = [operations / forward, 2.0 * operations / backward].map(|rate| rate * 1e-9);
    let shares = rates.map(|rate| 100.0 * rate / peak);
    report!(
        "{n_tokens:5} {n_embd:6} {n_vocab:7} {:12.2} {:5.0} ({:2.0} %) {:7.2} {:5.0} ({:2.0} %)",
        1e3 * forward,
        rates[0],
        shares[0],
        1e3 * backward,
        rates[1],
        shares[1],
    );
}

/// A head, its targets and its results.
struct Case {
    kernels: Kernels,
    shape: HeadShape,
    /// `(T, K)`
    x: Vec<f32>,
    /// `(DISTINCT, K)`
    w: Vec<f32>,
    labels: Vec<u32>,
    packed: Vec<u8>,
    dlogits: Vec<u8>,
    /// `(T, K)`
    dx: Vec<f32>,
    scratch: Vec<Scratch>,
}

impl Case {
    fn new(
        kernels: Kernels,
        precision: Precision,
        threads: usize,
        (n_tokens, n_embd, n_vocab): (usize, usize, usize),
    ) -> Case {
        let shape = HeadShape { precision, n_tokens, n_embd, n_vocab };
        // Logits with a standard deviation of one nat and a half.
        let scale = 4.5 / (n_embd as f32).sqrt();
        let mut case = Case {
            kernels,
            shape,
            x: (0..n_tokens * n_embd).map(|i| scale * number(2 * i)).collect(),
            w: (0..DISTINCT * n_embd).map(|i| number(2 * i + 1)).collect(),
            labels: (0..n_tokens).map(|t| (t * 7919 % n_vocab) as u32).collect(),
            packed: vec![0; shape.activations().bytes() + 64],
            dlogits: vec![0; shape.dlogits(shape.chunk()).bytes() + 64],
            dx: vec![0.0; n_tokens * n_embd],
            scratch: (0..threads).map(|_| Scratch::new()).collect(),
        };
        let (shape, packed) = (shape.activations(), Shared::aligned(&mut case.packed));
        // SAFETY: `x` and the buffer have the shape's sizes.
        unsafe { kernels.pack(shape, case.x.as_ptr(), n_embd, 0..n_tokens, packed.pointer()) };
        case
    }

    fn forward(&mut self) -> Vec<LogProb> {
        let (kernels, shape, labels) = (self.kernels, self.shape, &self.labels);
        let mut sums = vec![f32::NAN; shape.sums_len()];
        let (out, packed) = (Shared::new(&mut sums), Shared::aligned(&mut self.packed));
        let weights = &unpack(&self.w, shape.n_embd);
        let rows = shares(0..shape.n_vocab, VOCAB_PART, self.scratch.len());
        thread::scope(|scope| {
            for (rows, scratch) in rows.zip(&mut self.scratch) {
                // SAFETY: packed with this shape; the threads' rows are disjoint.
                scope.spawn(move || unsafe {
                    let input = HeadInput { shape, packed: packed.pointer(), weights };
                    kernels.head_sums(input, rows, labels, out.pointer(), scratch);
                });
            }
        });
        shape.log_probs(&sums)
    }

    fn backward(&mut self, found: &[LogProb]) {
        let gradient = |(&label, found): (&u32, &LogProb)| {
            LogitGradient::new(label as usize, found.log_sum_exp, 1.0)
        };
        let gradients: Vec<_> = self.labels.iter().zip(found).map(gradient).collect();
        for first in (0..self.shape.n_vocab).step_by(self.shape.chunk()) {
            self.backward_chunk(first, &gradients);
        }
    }

    fn backward_chunk(&mut self, first: usize, gradients: &[LogitGradient]) {
        let (kernels, shape, n_threads) = (self.kernels, self.shape, self.scratch.len());
        let chunk = first..(first + shape.chunk()).min(shape.n_vocab);
        let (packed, dlogits) =
            (Shared::aligned(&mut self.packed), Shared::aligned(&mut self.dlogits));
        let dx = Shared::new(&mut self.dx);
        let unpack = unpack(&self.w, shape.n_embd);
        let (weights, part) =
            (&unpack, &|row: usize, k: usize, out: &mut [f32]| unpack(first + row, k, out));
        thread::scope(|scope| {
            let rows = shares(chunk.clone(), COLUMNS, n_threads);
            for (rows, scratch) in rows.zip(&mut self.scratch) {
                let chunk = chunk.clone();
                // SAFETY: packed with this shape; the threads' rows are disjoint.
                scope.spawn(move || unsafe {
                    let input = HeadInput { shape, packed: packed.pointer(), weights };
                    let out = dlogits.pointer();
                    kernels.head_dlogits(input, chunk, rows, gradients, out, scratch);
                });
            }
        });
        thread::scope(|scope| {
            let columns = shares(0..shape.n_embd, COLUMNS, n_threads);
            for (columns, scratch) in columns.zip(&mut self.scratch) {
                let (accumulate, shape) = (first > 0, shape.dlogits(chunk.len()));
                let stride = self.shape.n_embd;
                // SAFETY: packed above; the threads' columns are disjoint.
                scope.spawn(move || unsafe {
                    let out = Output { data: dx.pointer(), stride, accumulate };
                    let dlogits = Packed { shape, data: dlogits.pointer() };
                    kernels.product_transposed(dlogits, part, columns, out, scratch);
                });
            }
        });
    }

    /// Compares some targets with the definition in f64.
    fn check(&self, found: &[LogProb]) {
        let HeadShape { n_tokens, n_embd, n_vocab, precision, .. } = self.shape;
        // In int8 a logit is off by about a hundredth.
        let tolerance = if precision == Precision::Int8 { 0.05 } else { 1e-4 };
        let row = |v: usize| &self.w[v % DISTINCT * n_embd..][..n_embd];
        for t in (0..n_tokens).step_by(n_tokens / 3 + 1) {
            let x = &self.x[t * n_embd..][..n_embd];
            let logits = (0..DISTINCT).map(|v| {
                x.iter().zip(row(v)).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>()
            });
            let logits: Vec<f64> = logits.collect();
            let repeats = (n_vocab / DISTINCT) as f64;
            let log_sum_exp = (repeats * logits.iter().map(|x| x.exp()).sum::<f64>()).ln();
            let label = self.labels[t] as usize;
            let error = (found[t].log_prob - (logits[label % DISTINCT] - log_sum_exp)).abs();
            assert!(error <= tolerance, "log_prob {t}: off by {error}");
            let mut dx: Vec<f64> = row(label).iter().map(|w| -f64::from(*w)).collect();
            for (v, logit) in logits.iter().enumerate() {
                let p = repeats * (logit - log_sum_exp).exp();
                dx.iter_mut().zip(row(v)).for_each(|(dx, w)| *dx += p * f64::from(*w));
            }
            for (k, (expected, found)) in dx.iter().zip(&self.dx[t * n_embd..]).enumerate() {
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= tolerance, "dx ({t}, {k}): {found} for {expected}");
            }
        }
    }
}

/// Elements of a row of `W`.
fn unpack(w: &[f32], n_embd: usize) -> impl Fn(usize, usize, &mut [f32]) + Copy + Sync {
    move |row, k, out| out.copy_from_slice(&w[row % DISTINCT * n_embd + k..][..out.len()])
}
