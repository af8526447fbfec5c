//! One product to measure, split among threads as a caller would.

use std::thread;

use cutq_kernels::{
    BLOCK, COLUMNS, Kernels, Output, Packed, PackedShape, Precision, QuantBlock, Scratch,
    TILE_COLUMNS, Weights,
};

use crate::support::number;
use crate::support::threads::{Shared, shares};

/// Which product.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    /// By the rows of the weights.
    Forward,
    /// The same with weights that tell their quants, of four bits.
    FourBits,
    /// By the columns of their transpose.
    Transposed,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Forward, Way::FourBits, Way::Transposed];
}

/// Rows of blocks.
struct FourBits {
    blocks: Vec<QuantBlock>,
    r: usize,
}

impl FourBits {
    /// Numbers between -1 and 1, rounded.
    fn new(w: &[f32], r: usize) -> FourBits {
        let block = |block: &[f32]| {
            let mut quants = [0; BLOCK];
            for (quant, w) in quants.iter_mut().zip(block) {
                *quant = ((w + 1.0) * 7.5).round() as u8;
            }
            QuantBlock { quants, scale: 2.0 / 15.0, offset: -1.0 }
        };
        FourBits { blocks: w.chunks(r).flat_map(|row| row.chunks(BLOCK)).map(block).collect(), r }
    }

    fn row(&self, m: usize) -> &[QuantBlock] {
        let width = self.r.div_ceil(BLOCK);
        &self.blocks[m * width..][..width]
    }

    fn element(&self, m: usize, k: usize) -> f32 {
        let QuantBlock { quants, scale, offset } = self.row(m)[k / BLOCK];
        offset + scale * f32::from(quants[k % BLOCK])
    }
}

impl Weights for FourBits {
    fn unpack(&self, m: usize, k: usize, part: &mut [f32]) {
        for (i, w) in part.iter_mut().enumerate() {
            *w = self.element(m, k + i);
        }
    }

    fn quants(&self, m: usize, blocks: &mut [QuantBlock]) -> bool {
        blocks.copy_from_slice(self.row(m));
        true
    }
}

/// Operands, packed activations and output of a product.
pub struct Case {
    kernels: Kernels,
    shape: PackedShape,
    outputs: usize,
    /// `(T, R)`
    x: Vec<f32>,
    /// `(outputs, R)`
    w: Vec<f32>,
    /// `(R, outputs)`, the same weights
    w_transposed: Vec<f32>,
    /// The same as `w`, rounded
    four_bits: FourBits,
    packed: Vec<u8>,
    y: Vec<f32>,
    scratch: Vec<Scratch>,
}

impl Case {
    /// `shape` is `(T, outputs, R)`. The activations are packed already.
    pub fn new(
        (n_tokens, outputs, r): (usize, usize, usize),
        kernels: Kernels,
        precision: Precision,
        threads: usize,
    ) -> Case {
        let shape = PackedShape { precision, n_tokens, r };
        let w: Vec<f32> = (0..outputs * r).map(|i| number(i * 3 + 1)).collect();
        let transposed = |i: usize| w[i % outputs * r + i / outputs];
        let mut case = Case {
            kernels,
            shape,
            outputs,
            x: (0..n_tokens * r).map(number).collect(),
            four_bits: FourBits::new(&w, r),
            w_transposed: (0..outputs * r).map(transposed).collect(),
            w,
            packed: vec![0; shape.bytes() + 64],
            y: vec![0.0; n_tokens * outputs],
            scratch: (0..threads).map(|_| Scratch::new()).collect(),
        };
        case.pack();
        case
    }

    /// Operations of one product.
    pub fn operations(&self) -> f64 {
        2.0 * self.shape.n_tokens as f64 * self.outputs as f64 * self.shape.r as f64
    }

    /// Packs the activations.
    pub fn pack(&mut self) {
        let packed = self.packed();
        let (kernels, shape, x) = (self.kernels, self.shape, &self.x);
        thread::scope(|scope| {
            for tokens in shares(0..shape.n_tokens, 1, self.scratch.len()) {
                // SAFETY: `x` and the buffer have the shape's sizes; tokens are disjoint.
                scope.spawn(move || unsafe {
                    kernels.pack(shape, x.as_ptr(), shape.r, tokens, packed.pointer());
                });
            }
        });
    }

    /// Multiplies.
    pub fn multiply(&mut self, way: Way) {
        let (packed, y) = (self.packed(), Shared::new(&mut self.y));
        let (kernels, shape, n) = (self.kernels, self.shape, self.outputs);
        let (w, w_transposed, four_bits) = (&self.w, &self.w_transposed, &self.four_bits);
        let row = move |m: usize, k: usize, out: &mut [f32]| {
            out.copy_from_slice(&w[m * shape.r + k..][..out.len()]);
        };
        let part = move |m: usize, k: usize, out: &mut [f32]| {
            out.copy_from_slice(&w_transposed[m * n + k..][..out.len()]);
        };
        let step = if way == Way::Transposed { TILE_COLUMNS } else { COLUMNS };
        let parts = shares(0..n, step, self.scratch.len());
        thread::scope(|scope| {
            for (range, scratch) in parts.zip(&mut self.scratch) {
                scope.spawn(move || {
                    let out = Output { data: y.pointer(), stride: n, accumulate: false };
                    let packed = Packed { shape, data: packed.pointer() };
                    // SAFETY: packed with this shape; the threads' outputs are disjoint.
                    unsafe {
                        match way {
                            Way::Forward => kernels.product(packed, &row, range, out, scratch),
                            Way::FourBits => {
                                kernels.product(packed, four_bits, range, out, scratch);
                            }
                            Way::Transposed => {
                                kernels.product_transposed(packed, &part, range, out, scratch);
                            }
                        }
                    }
                });
            }
        });
    }

    /// Compares some outputs with sums in f64, then erases them all.
    pub fn check(&mut self, way: Way) {
        let r = self.shape.r;
        for i in (0..self.y.len()).step_by(self.y.len() / 97 + 1) {
            let (t, m) = (i / self.outputs, i % self.outputs);
            let w = |k| match way {
                Way::FourBits => self.four_bits.element(m, k),
                _ => self.w[m * r + k],
            };
            let x = &self.x[t * r..][..r];
            let products = x.iter().enumerate().map(|(k, x)| f64::from(*x) * f64::from(w(k)));
            let (value, tolerance) = match self.shape.precision {
                // Independent rounding errors of uniform numbers: five standard deviations.
                Precision::Int8 => (products.sum::<f64>(), 5.0 * (r as f64).sqrt() * 0.002),
                Precision::F32 => (products.sum::<f64>(), 1e-5 * r as f64),
            };
            let error = (f64::from(self.y[i]) - value).abs();
            assert!(error <= tolerance, "output {i}: {} for {value}", self.y[i]);
        }
        self.y.fill(f32::NAN);
    }

    fn packed(&mut self) -> Shared<u8> {
        Shared::aligned(&mut self.packed)
    }
}
