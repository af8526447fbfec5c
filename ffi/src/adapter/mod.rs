//! A LoRA adapter: the matrices, and the files that llama.cpp and PEFT load.

mod error;
mod gguf;
mod pairs;
mod peft;

pub use error::AdapterError;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::gguf::file::Gguf;
use crate::model::architecture::Architecture;
use crate::model::projection::Projection;

/// How an adapter is made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank; of an adapter whose pairs differ in rank, the largest.
    pub r: usize,
    /// The update is scaled by `lora_alpha / r`; 0 means by 1, as in llama.cpp.
    pub lora_alpha: f32,
    /// Share of the adapter's input that training drops, in `0..1`.
    pub lora_dropout: f32,
    /// The projections that are adapted, in every layer.
    pub target_modules: Vec<Projection>,
}

/// The pair of matrices beside one projection: `ΔW = scaling · B A`, of rank r.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraPair {
    /// Number of the layer, from 0.
    pub layer: usize,
    /// The projection that it adapts.
    pub projection: Projection,
    /// Width of the projection's input.
    pub n_in: usize,
    /// Width of its output.
    pub n_out: usize,
    /// A, of shape (r, in), row-major.
    pub a: Vec<f32>,
    /// B, of shape (out, r), row-major.
    pub b: Vec<f32>,
}

/// A LoRA adapter of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// How it was made. Files do not hold the dropout, which is 0 after loading.
    pub config: LoraConfig,
    /// `general.architecture` of the model.
    pub architecture: String,
    /// What it has learned to do, if its file says so (`adapter.lora.task_name`).
    pub task: Option<String>,
    /// The pairs, by layer and projection.
    pub pairs: Vec<LoraPair>,
}

impl LoraPair {
    /// The rank, which in adapters of other programs may differ from pair to pair.
    pub fn r(&self) -> usize {
        self.a.len() / self.n_in
    }

    /// Number of trainable parameters.
    pub fn n_params(&self) -> usize {
        self.a.len() + self.b.len()
    }

    /// Name of A in the adapter's GGUF.
    pub fn name_a(&self) -> String {
        format!("{}.lora_a", self.projection.weight_name(self.layer))
    }

    /// Name of B in the adapter's GGUF.
    pub fn name_b(&self) -> String {
        format!("{}.lora_b", self.projection.weight_name(self.layer))
    }
}

impl Adapter {
    /// A new adapter: A uniform in ±1/√in (PEFT's Kaiming initialization), B zero, so that the
    /// model is unchanged.
    pub fn init(
        model: &Gguf,
        architecture: &Architecture,
        mut config: LoraConfig,
        seed: u64,
    ) -> Self {
        config.target_modules = architecture.targets(&config.target_modules);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pairs = Vec::new();
        for layer in 0..architecture.n_layer {
            for &projection in &config.target_modules {
                let (n_in, n_out) = architecture.projection_shape(projection);
                let bound = 1.0 / (n_in as f32).sqrt();
                let a = (0..config.r * n_in).map(|_| rng.random_range(-bound..=bound)).collect();
                let b = vec![0.0; config.r * n_out];
                pairs.push(LoraPair { layer, projection, n_in, n_out, a, b });
            }
        }
        let architecture = model.architecture().unwrap_or_default().to_owned();
        Self { config, architecture, task: None, pairs }
    }

    /// Number of trainable parameters.
    pub fn n_params(&self) -> usize {
        self.pairs.iter().map(LoraPair::n_params).sum()
    }

    /// Refuses values that are infinite or not a number.
    fn check_finite(&self) -> Result<(), AdapterError> {
        for pair in &self.pairs {
            for (name, values) in [(pair.name_a(), &pair.a), (pair.name_b(), &pair.b)] {
                if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
                    return Err(AdapterError::NonFinite { tensor: name, value });
                }
            }
        }
        Ok(())
    }

    /// What the product of a pair's matrices is multiplied by: `lora_alpha / r`, or 1 for
    /// `lora_alpha = 0`, as in llama.cpp.
    pub fn scaling(&self, pair: &LoraPair) -> f32 {
        match self.config.lora_alpha {
            0.0 => 1.0,
            lora_alpha => lora_alpha / pair.r() as f32,
        }
    }
}
