//! The adapter as llama.cpp loads it with `--lora`.

use std::path::Path;

use cutq_kernels::Weights;

use super::{Adapter, AdapterError, LoraConfig, LoraPair};
use crate::gguf::dequantize::Quantized;
use crate::gguf::file::Gguf;
use crate::gguf::writer::GgufWriter;
use crate::model::architecture::Architecture;
use crate::model::projection::Projection;

impl Adapter {
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
        let mut target_modules: Vec<Projection> = pairs.iter().map(|p| p.projection).collect();
        target_modules.sort_unstable();
        target_modules.dedup();
        let lora_alpha = alpha as f32;
        let config = LoraConfig { r, lora_alpha, lora_dropout: 0.0, target_modules };
        Ok(Self { config, architecture: ours.to_owned(), pairs })
    }

    /// Writes the adapter as a GGUF of F32 tensors, whole or not at all.
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
        for projection in Projection::ALL {
            let (n_in, n_out) = architecture.projection_shape(projection);
            let mut pair = LoraPair { layer, projection, n_in, n_out, a: vec![], b: vec![] };
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
