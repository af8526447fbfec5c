//! The six products of a LoRA adapter against sums in `f64`, every level, split in every way.

mod support;

use std::ops::Range;

use cutq_kernels::{Dropout, DropoutPool, Kernels, LoraShape, Scratch};
use support::{levels, numbers, sizes};

/// Tensors of one adapter, and what the products make of them.
struct Case {
    shape: LoraShape,
    x: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    dy: Vec<f32>,
}

/// `low`, `y`, `dlow`, `dB`, `dA`, `dx`.
type Results = [Vec<f32>; 6];

const NAMES: [&str; 6] = ["low", "y", "dlow", "dB", "dA", "dx"];

impl Case {
    fn new((n_tokens, n_in, n_out, r): (usize, usize, usize, usize), p: f32) -> Case {
        let keys: Vec<u64> = (0..n_tokens as u64).collect();
        let pool = DropoutPool::new(0x1234_5678_9abc, p);
        let dropout = (p > 0.0).then(|| Dropout::new(pool, 7, &keys));
        Case {
            shape: LoraShape { n_tokens, n_in, n_out, r, scaling: 0.75, dropout },
            x: numbers(n_tokens * n_in, 1),
            a: numbers(r * n_in, 2),
            b: numbers(n_out * r, 3),
            dy: numbers(n_tokens * n_out, 4),
        }
    }

    /// What `y` and `dx` hold before the adapter's part is added.
    fn base(len: usize) -> Vec<f32> {
        numbers(len, 5)
    }

    /// Every product, each in `parts` calls.
    fn run(&self, kernels: Kernels, parts: usize) -> Results {
        let LoraShape { n_tokens, n_in, n_out, r, .. } = self.shape;
        let (shape, row) = (&self.shape, self.shape.row());
        let mut low = vec![f32::NAN; n_tokens * row];
        let mut dlow = low.clone();
        let mut y = Case::base(n_tokens * n_out);
        let mut dx = Case::base(n_tokens * n_in);
        let (mut da, mut db) = (vec![f32::NAN; r * n_in], vec![f32::NAN; n_out * r]);
        let (x, a, b, dy) = (self.x.as_ptr(), self.a.as_ptr(), self.b.as_ptr(), self.dy.as_ptr());
        let scratch = &mut Scratch::new();
        // SAFETY: all tensors have the shapes of `LoraShape`; one call runs at a time.
        unsafe {
            for tokens in split(n_tokens, 1, parts) {
                kernels.lora_low(shape, x, a, tokens.clone(), low.as_mut_ptr(), scratch);
                kernels.lora_dlow(shape, dy, b, tokens, dlow.as_mut_ptr(), scratch);
            }
            for outputs in split(n_out, 16, parts) {
                kernels.lora_add(shape, low.as_ptr(), b, outputs.clone(), y.as_mut_ptr(), scratch);
                kernels.lora_db(shape, dy, low.as_ptr(), outputs, db.as_mut_ptr(), scratch);
            }
            for inputs in split(n_in, 16, parts) {
                kernels.lora_da(shape, dlow.as_ptr(), x, inputs.clone(), da.as_mut_ptr(), scratch);
                kernels.lora_add_dx(shape, dlow.as_ptr(), a, inputs, dx.as_mut_ptr(), scratch);
            }
        }
        [low, y, dlow, db, da, dx]
    }

    /// The same in `f64`, with the mask read off a tensor of ones.
    fn reference(&self, kernels: Kernels) -> [Vec<f64>; 6] {
        let LoraShape { n_tokens, n_in, n_out, r, scaling, ref dropout } = self.shape;
        let mut mask = vec![1.0; n_tokens * n_in];
        if let Some(dropout) = dropout {
            let rows = mask.chunks_exact_mut(n_in).enumerate();
            rows.for_each(|(t, row)| kernels.dropout(dropout, t, 0, row));
            assert!(mask.contains(&0.0));
        }
        let mask = |t: usize, k: usize| f64::from(mask[t * n_in + k]);
        let at = |m: &[f32], n: usize, i: usize, j: usize| f64::from(m[i * n + j]);
        let x = |t: usize, k: usize| at(&self.x, n_in, t, k) * mask(t, k);
        let scaling = f64::from(scaling);
        let low = matrix(n_tokens, r, |t, j| {
            scaling * (0..n_in).map(|k| x(t, k) * at(&self.a, n_in, j, k)).sum::<f64>()
        });
        let dlow = matrix(n_tokens, r, |t, j| {
            scaling
                * (0..n_out).map(|m| at(&self.dy, n_out, t, m) * at(&self.b, r, m, j)).sum::<f64>()
        });
        let base = Case::base(n_tokens * n_in.max(n_out));
        let y = matrix(n_tokens, n_out, |t, m| {
            at(&base, n_out, t, m)
                + (0..r).map(|j| low[t * r + j] * at(&self.b, r, m, j)).sum::<f64>()
        });
        let db = matrix(n_out, r, |m, j| {
            (0..n_tokens).map(|t| at(&self.dy, n_out, t, m) * low[t * r + j]).sum()
        });
        let da = matrix(r, n_in, |j, k| (0..n_tokens).map(|t| dlow[t * r + j] * x(t, k)).sum());
        let dx = matrix(n_tokens, n_in, |t, k| {
            let sum: f64 = (0..r).map(|j| dlow[t * r + j] * at(&self.a, n_in, j, k)).sum();
            at(&base, n_in, t, k) + mask(t, k) * sum
        });
        [self.padded(&low), y, self.padded(&dlow), db, da, dx]
    }

    /// Rows of `r` filled up with zeros.
    fn padded(&self, narrow: &[f64]) -> Vec<f64> {
        let (r, row) = (self.shape.r, self.shape.row());
        matrix(narrow.len() / r, row, |t, j| if j < r { narrow[t * r + j] } else { 0.0 })
    }
}

fn matrix(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..rows * columns).map(|i| f(i / columns, i % columns)).collect()
}

fn split(n: usize, unit: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let bound = move |i: usize| (n / unit * i / parts) * unit;
    (0..parts).map(move |i| bound(i)..bound(i + 1))
}

#[test]
fn agrees_with_sums_in_f64_at_every_level() {
    let shapes: &[_] = sizes(
        &[(1, 16, 16, 1), (7, 32, 48, 8), (129, 272, 64, 16), (50, 96, 528, 20), (260, 16, 32, 5)],
        &[(3, 16, 32, 3)],
    );
    for &shape in shapes {
        for p in [0.0, 0.3] {
            let case = Case::new(shape, p);
            let plain = support::plain();
            let defined = case.run(plain, 1);
            let reference = case.reference(plain);
            for ((name, found), expected) in NAMES.iter().zip(&defined).zip(&reference) {
                let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
                for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
                    let error = (f64::from(found) - expected).abs();
                    assert!(
                        error <= 2e-6 * largest,
                        "{shape:?}, p {p}: {name}[{i}] is {found}, not {expected}"
                    );
                }
            }
            for kernels in levels() {
                for parts in [1, 3] {
                    let found = case.run(kernels, parts);
                    for (name, (found, defined)) in NAMES.iter().zip(found.iter().zip(&defined)) {
                        let level = kernels.level();
                        assert!(
                            found == defined,
                            "{shape:?}, p {p}, {parts} parts: {name}, {level}"
                        );
                    }
                }
            }
        }
    }
}
