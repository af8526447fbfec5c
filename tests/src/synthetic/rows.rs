//! Random rows: rounded once, drawn again and again.

use std::collections::HashMap;
use std::io::{self, Write};

use cutq_ffi::TensorType;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_distr::{Distribution, Normal};

use super::{Tensor, Values};

/// Most numbers that are rounded for one type and row length: seconds of work in the slowest types.
const POOL: usize = 1 << 20;
/// The scale at which language models are initialized.
const WEIGHT_STD: f32 = 0.02;
const NORM_STD: f32 = 0.1;

/// The source of a model's rows.
pub struct Rows {
    seed: u64,
    /// Rounded rows of each type and length.
    pools: HashMap<(TensorType, usize), Vec<u8>>,
}

impl Rows {
    pub fn new(seed: u64) -> Self {
        Self { seed, pools: HashMap::new() }
    }

    /// Writes the data of tensor number `index`.
    pub fn write(&mut self, index: usize, tensor: &Tensor, out: &mut impl Write) -> io::Result<()> {
        let (tensor_type, [n_in, n_rows]) = (tensor.tensor_type, tensor.shape);
        let mut rng = self.rng(index as u64);
        if n_rows == 1 {
            let mean = if tensor.values == Values::Norm { 1.0 } else { 0.0 };
            let std = if tensor.values == Values::Norm { NORM_STD } else { WEIGHT_STD };
            return out.write_all(&tensor_type.quantize(&normal(&mut rng, mean, std, n_in), n_in));
        }
        let row_bytes = tensor_type.row_bytes(n_in);
        let pool = self.pool(tensor_type, tensor.shape);
        let pooled = pool.len() / row_bytes;
        for _ in 0..n_rows {
            let row = rng.next_u64() as usize % pooled * row_bytes;
            out.write_all(&pool[row..row + row_bytes])?;
        }
        Ok(())
    }

    /// Rows of one type and length; the first tensor that asks decides how many.
    fn pool(&mut self, tensor_type: TensorType, [n_in, n_rows]: [usize; 2]) -> &[u8] {
        // Far from the streams of the tensors.
        let mut rng = self.rng(1 << 32 | n_in as u64);
        self.pools.entry((tensor_type, n_in)).or_insert_with(|| {
            let n_rows = (POOL / n_in).clamp(1, n_rows);
            tensor_type.quantize(&normal(&mut rng, 0.0, WEIGHT_STD, n_rows * n_in), n_in)
        })
    }

    fn rng(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }
}

fn normal(rng: &mut ChaCha8Rng, mean: f32, std: f32, n: usize) -> Vec<f32> {
    let distribution = Normal::new(mean, std).expect("a finite standard deviation");
    distribution.sample_iter(rng).take(n).collect()
}
