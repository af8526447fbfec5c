//! A LoRA adapter: the matrices, and the file that llama.cpp loads with `--lora`.

mod peft;

use std::path::{Path, PathBuf};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::gguf::dequantize::Quantized;
use crate::gguf::file::{Gguf, GgufError};
use crate::gguf::writer::GgufWriter;
use crate::model::architecture::Architecture;
use crate::model::projection::Module;

/// How an adapter is made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// The update is scaled by `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Share of the adapter's input that training drops.
    pub lora_dropout: f32,
    /// The projections that are adapted, in every block.
    pub target_modules: Vec<Module>,
}

/// The pair of matrices beside one projection: `ΔW = lora_alpha / r · B A`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraPair {
    /// Block.
    pub layer: usize,
    /// Projection.
    pub module: Module,
    /// Width of the projection's input.
    pub n_in: usize,
    /// Width of its output.
    pub n_out: usize,
    /// A, (r, in).
    pub a: Vec<f32>,
    /// B, (out, r).
    pub b: Vec<f32>,
}

/// A LoRA adapter of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// How it was made. Files do not hold the dropout, which is 0 after loading.
    pub config: LoraConfig,
    /// `general.architecture` of the model.
    pub architecture: String,
    /// The pairs, by block and module.
    pub pairs: Vec<LoraPair>,
}

/// Why an adapter cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The file is not a readable GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The file is a GGUF, but not a LoRA adapter.
    #[error(
        "{path}: not a LoRA adapter (general.type is {found:?}, adapter.type must be \"lora\")"
    )]
    NotAnAdapter {
        /// The file.
        path: PathBuf,
        /// `general.type`.
        found: String,
    },
    /// The adapter belongs to another model.
    #[error("{path}: this adapter is for another model: {reason}")]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The file cannot be written.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl LoraPair {
    /// Name of A in the adapter's GGUF.
    pub fn name_a(&self) -> String {
        format!("{}.lora_a", self.module.tensor_name(self.layer))
    }

    /// Name of B in the adapter's GGUF.
    pub fn name_b(&self) -> String {
        format!("{}.lora_b", self.module.tensor_name(self.layer))
    }
}

impl Adapter {
    /// A new adapter: A uniform in ±1/√in (PEFT's Kaiming initialization), B zero, so that the
    /// model is unchanged.
    pub fn init(model: &Gguf, architecture: &Architecture, config: LoraConfig, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pairs = Vec::new();
        for layer in 0..architecture.n_layer {
            for &module in &config.target_modules {
                let (n_in, n_out) = architecture.module_shape(module);
                let bound = 1.0 / (n_in as f32).sqrt();
                let a = (0..config.r * n_in).map(|_| rng.random_range(-bound..=bound)).collect();
                // Written, not only reserved: its memory counts when a run is planned.
                let b = std::iter::repeat_n(0.0, config.r * n_out).collect();
                pairs.push(LoraPair { layer, module, n_in, n_out, a, b });
            }
        }
        let architecture = model.architecture().unwrap_or_default().to_owned();
        Self { config, architecture, pairs }
    }

    /// `lora_alpha / r`.
    pub fn scaling(&self) -> f32 {
        self.config.lora_alpha / self.config.r as f32
    }

    /// Loads an adapter for `model` from a GGUF as llama.cpp's converter or [`Adapter::save_gguf`]
    /// writes it.
    ///
    /// # Errors
    /// If the file is not a LoRA adapter, or does not fit the model.
    pub fn load(
        path: &Path,
        model: &Gguf,
        architecture: &Architecture,
    ) -> Result<Self, AdapterError> {
        let file = Gguf::open(path)?;
        let found = file.str("general.type").unwrap_or("missing").to_owned();
        if found != "adapter" || file.str("adapter.type") != Some("lora") {
            return Err(AdapterError::NotAnAdapter { path: path.to_owned(), found });
        }
        let other = |reason: String| AdapterError::OtherModel { path: path.to_owned(), reason };
        let (its, ours) = (file.architecture()?, model.architecture()?);
        if its != ours {
            return Err(other(format!("its architecture is {its}, the model's {ours}")));
        }
        let key = "adapter.lora.alpha";
        let alpha = file.float(key).ok_or_else(|| file.key_error(key, "a number"))?;
        let pairs = read_pairs(&file, architecture, &other)?;
        let r = pairs.first().map_or(0, |p| p.a.len() / p.n_in);
        if pairs.iter().any(|p| p.a.len() / p.n_in != r) {
            return Err(other("its tensors differ in rank".into()));
        }
        let mut target_modules: Vec<Module> = pairs.iter().map(|p| p.module).collect();
        target_modules.sort_unstable();
        target_modules.dedup();
        let lora_alpha = alpha as f32;
        let config = LoraConfig { r, lora_alpha, lora_dropout: 0.0, target_modules };
        Ok(Self { config, architecture: ours.to_owned(), pairs })
    }

    /// Writes the adapter as a GGUF of F32 tensors, beside `path` first, then renamed.
    ///
    /// # Errors
    /// If the file cannot be written; what was at `path` is then still there.
    pub fn save_gguf(&self, path: &Path) -> Result<(), AdapterError> {
        let mut writer = GgufWriter::new();
        writer.header.str("general.architecture", &self.architecture);
        writer.header.str("general.type", "adapter");
        writer.header.str("adapter.type", "lora");
        writer.header.f32("adapter.lora.alpha", self.config.lora_alpha);
        for pair in &self.pairs {
            let r = self.config.r;
            writer.tensor(&pair.name_a(), [pair.n_in, r], &pair.a);
            writer.tensor(&pair.name_b(), [r, pair.n_out], &pair.b);
        }
        let write = |source| AdapterError::Write { path: path.to_owned(), source };
        writer.save(path).map_err(write)
    }
}

fn read_pairs(
    file: &Gguf,
    architecture: &Architecture,
    other: &dyn Fn(String) -> AdapterError,
) -> Result<Vec<LoraPair>, AdapterError> {
    let mut pairs = Vec::new();
    for layer in 0..architecture.n_layer {
        for module in Module::ALL {
            let (n_in, n_out) = architecture.module_shape(module);
            let mut pair = LoraPair { layer, module, n_in, n_out, a: vec![], b: vec![] };
            if !file.tensors().contains_key(&pair.name_a()) {
                continue;
            }
            let r = file.tensor(&pair.name_a())?.ne[1];
            pair.a = read_matrix(file, &pair.name_a(), [n_in, r], other)?;
            pair.b = read_matrix(file, &pair.name_b(), [r, n_out], other)?;
            pairs.push(pair);
        }
    }
    if pairs.is_empty() || file.tensors().len() != 2 * pairs.len() {
        let (its, used) = (file.tensors().len(), 2 * pairs.len());
        return Err(other(format!("it has {its} tensors, of which {used} belong to the model")));
    }
    Ok(pairs)
}

fn read_matrix(
    file: &Gguf,
    name: &str,
    shape: [usize; 2],
    other: &dyn Fn(String) -> AdapterError,
) -> Result<Vec<f32>, AdapterError> {
    let info = file.tensor(name)?;
    if info.ne != [shape[0], shape[1], 1, 1] {
        return Err(other(format!("{name} is of shape {:?}, the model wants {shape:?}", info.ne)));
    }
    let matrix = Quantized::new(file, info)
        .ok_or_else(|| other(format!("the type of {name} cannot be read")))?;
    let mut values = vec![0.0; shape[0] * shape[1]];
    for (row, out) in values.chunks_exact_mut(shape[0]).enumerate() {
        matrix.unpack(row, 0, out);
    }
    Ok(values)
}
