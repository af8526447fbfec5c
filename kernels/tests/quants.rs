//! Products with weights that tell their quants: exact, whatever the number of bits.

mod support;

use cutq_kernels::{BLOCK, Kernels, PackedActivations, Precision, QuantBlock, Weights};
use support::{levels, numbers, sizes};

/// Rows of stored blocks.
struct Stored {
    blocks: Vec<QuantBlock>,
    /// Blocks of a row.
    width: usize,
}

impl Weights for Stored {
    fn unpack(&self, m: usize, k: usize, part: &mut [f32]) {
        for (i, x) in (k..).zip(part) {
            let QuantBlock { quants, scale, offset } = self.row(m)[i / BLOCK];
            *x = offset + scale * f32::from(quants[i % BLOCK]);
        }
    }

    fn quants(&self, m: usize, blocks: &mut [QuantBlock]) -> bool {
        blocks.copy_from_slice(self.row(m));
        true
    }
}

impl Stored {
    /// `n` rows of blocks of at most `bits` bits: of random quants, of the largest and of zeros,
    /// with scales and offsets of all signs and sizes.
    fn new(n: usize, width: usize, bits: u32) -> Stored {
        let block = |index: usize| QuantBlock {
            quants: std::array::from_fn(|i| {
                let largest = u8::MAX >> (8 - bits);
                match index % 7 {
                    0 => largest,
                    1 => 0,
                    _ => ((i * 7919 + index * 31) % 251) as u8 & largest,
                }
            }),
            scale: [0.01, -0.37, 2.5e-6, 40.0, 0.0][index % 5],
            offset: [-0.08, 5.0, 0.0, -300.0, 1e-7, -1e-39][index % 6],
        };
        Stored { blocks: (0..n * width).map(block).collect(), width }
    }

    fn row(&self, m: usize) -> &[QuantBlock] {
        &self.blocks[m * self.width..][..self.width]
    }

    fn n(&self) -> usize {
        self.blocks.len() / self.width
    }
}

/// Rows of random numbers, of the largest quant of either sign, and of zeros.
fn activations(n_tokens: usize, r: usize) -> Vec<f32> {
    let mut x = numbers(n_tokens * r, 11);
    for (t, row) in x.chunks_mut(r).enumerate() {
        match t % 5 {
            1 => row.fill(3.0),
            2 => row.fill(-0.2),
            3 => row.fill(0.0),
            _ => {}
        }
    }
    x
}

/// `(value, size)` of `Σ x (offset + scale u)` over a row in f64, with activations rounded to
/// `amax / 127`.
fn reference(x: &[f32], row: &[QuantBlock]) -> (f64, f64) {
    let (mut value, mut size) = (0.0, 0.0);
    for (x, block) in x.chunks(BLOCK).zip(row) {
        let amax = x.iter().fold(0.0f32, |amax, x| amax.max(x.abs()));
        let inverse = if amax == 0.0 { 0.0 } else { 127.0 / amax };
        for (x, &u) in x.iter().zip(&block.quants) {
            let x = f64::from((x * inverse).round_ties_even()) * f64::from(amax) / 127.0;
            let (offset, scaled) = (f64::from(block.offset), f64::from(block.scale) * f64::from(u));
            value += x * (offset + scaled);
            size += x.abs() * (offset.abs() + scaled.abs());
        }
    }
    (value, size)
}

fn product(kernels: Kernels, x: &[f32], w: &Stored) -> Vec<f32> {
    let r = w.width * BLOCK;
    PackedActivations::pack(kernels, Precision::Int8, x, x.len() / r, r).product(w, w.n())
}

#[test]
fn nothing_is_rounded_but_the_activations() {
    let (n_tokens, width, n) = sizes((13, 7, 45), (3, 2, 9));
    let x = activations(n_tokens, width * BLOCK);
    for bits in 1..=8 {
        let w = Stored::new(n, width, bits);
        for kernels in levels() {
            for (i, y) in product(kernels, &x, &w).iter().enumerate() {
                let x = &x[i / n * width * BLOCK..][..width * BLOCK];
                let (value, size) = reference(x, w.row(i % n));
                let error = (f64::from(*y) - value).abs();
                assert!(error <= 1e-6 * size, "{kernels:?}, {bits} bits: {y} for {value}");
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has only the plain level")]
fn levels_agree_bit_for_bit() {
    let bits_of = |y: Vec<f32>| y.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    for (n_tokens, width, n) in [(1, 1, 1), (6, 3, 33), (20, 40, 70)] {
        let x = activations(n_tokens, width * BLOCK);
        for bits in 1..=8 {
            let w = Stored::new(n, width, bits);
            let plain = bits_of(product(support::plain(), &x, &w));
            for kernels in levels() {
                assert_eq!(bits_of(product(kernels, &x, &w)), plain, "{kernels:?}, {bits} bits");
            }
        }
    }
}

#[test]
fn what_is_not_finite_shows() {
    for kernels in levels() {
        for (scale, offset) in [(f32::INFINITY, 0.0), (f32::NAN, 0.0), (1.0, f32::NEG_INFINITY)] {
            // Quants of zeros and activations of zeros, too.
            for quants in [[0; BLOCK], [9; BLOCK]] {
                let w = Stored { blocks: vec![QuantBlock { quants, scale, offset }], width: 1 };
                for x in [[0.0; BLOCK], [1.0; BLOCK]] {
                    let y = product(kernels, &x, &w)[0];
                    assert!(!y.is_finite(), "{kernels:?}: {y} from {scale} and {offset}");
                }
            }
        }
    }
}
