//! The adapter as PEFT stores it: `adapter_model.safetensors` and `adapter_config.json`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use super::{Adapter, AdapterError, LoraPair};
use crate::gguf::replace::replace;
use crate::model::architecture::Architecture;
use crate::model::projection::Projection;

impl Adapter {
    /// Writes the adapter into `folder` for `PeftModel.from_pretrained`.
    ///
    /// # Errors
    /// If a value is not finite, or a file cannot be written.
    pub fn save_peft(&self, folder: &Path, shape: &Architecture) -> Result<(), AdapterError> {
        self.check_finite()?;
        let write = |source| AdapterError::Write { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(write)?;
        let weights = self.safetensors(shape).map_err(write)?;
        let put = |name: &str, bytes: &[u8]| {
            replace(&folder.join(name), |file| file.write_all(bytes)).map_err(write)
        };
        put("adapter_model.safetensors", &weights)?;
        let config = serde_json::to_vec_pretty(&self.peft_config(shape)).map_err(io::Error::other);
        put("adapter_config.json", &config.map_err(write)?)
    }

    fn safetensors(&self, shape: &Architecture) -> io::Result<Vec<u8>> {
        let mut tensors: Vec<(String, [usize; 2], Vec<f32>)> = Vec::new();
        for pair in &self.pairs {
            let (r, name) = (pair.r(), format!("base_model.model.{}", module(shape, pair)));
            let b = match heads_to_restore(shape, pair.projection) {
                Some(n_head) => halves_from_neighbours(&pair.b, r, n_head),
                None => pair.b.clone(),
            };
            tensors.push((format!("{name}.lora_A.weight"), [r, pair.n_in], pair.a.clone()));
            tensors.push((format!("{name}.lora_B.weight"), [pair.n_out, r], b));
        }
        let views: Result<BTreeMap<&str, TensorView<'_>>, _> = tensors
            .iter()
            .map(|(name, shape, data)| {
                let bytes = bytemuck::cast_slice(data);
                Ok((name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes)?))
            })
            .collect();
        let views = views.map_err(|e: safetensors::SafeTensorError| io::Error::other(e))?;
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)
    }

    fn peft_config(&self, shape: &Architecture) -> serde_json::Value {
        let last =
            |p: &Projection| shape.peft_name(*p).rsplit('.').next().unwrap_or_default().to_owned();
        let modules: Vec<String> = self.config.target_modules.iter().map(last).collect();
        let r = self.config.r;
        let ranks: BTreeMap<String, usize> = self
            .pairs
            .iter()
            .filter(|pair| pair.r() != r)
            .map(|pair| (module(shape, pair), pair.r()))
            .collect();
        // An alpha of 0 stands for each pair's rank: PEFT would scale by 0.
        let no_alpha = self.config.lora_alpha == 0.0;
        let alphas = if no_alpha { ranks.clone() } else { BTreeMap::new() };
        serde_json::json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": r,
            "lora_alpha": if no_alpha { r as f32 } else { self.config.lora_alpha },
            "rank_pattern": ranks,
            "alpha_pattern": alphas,
            "lora_dropout": self.config.lora_dropout,
            "target_modules": modules,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "base_model_name_or_path": null,
        })
    }
}

/// The name of a projection in Hugging Face's model.
fn module(shape: &Architecture, pair: &LoraPair) -> String {
    let layers = shape.family.traits().layers;
    format!("{layers}.{}.{}", pair.layer, shape.peft_name(pair.projection))
}

/// The number of heads whose rows a GGUF orders differently from Hugging Face: the converter of
/// Llama and its like pairs rotary dimensions as neighbours, Hugging Face as halves of a head.
fn heads_to_restore(shape: &Architecture, projection: Projection) -> Option<usize> {
    match projection {
        Projection::AttnQ => Some(shape.n_head),
        Projection::AttnK => Some(shape.n_head_kv),
        _ => None,
    }
    .filter(|_| shape.family.traits().permuted)
}

/// Rows of `r` floats, per head: (0, 1, 2, 3, …) pairs neighbours, (0, 2, …, 1, 3, …) is the result.
fn halves_from_neighbours(rows: &[f32], r: usize, n_head: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for head in rows.chunks_exact(rows.len() / n_head) {
        for parity in 0..2 {
            let half = head.chunks_exact(r).skip(parity).step_by(2);
            out.extend(half.flatten());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_head_are_reordered() {
        let rows = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        let expected = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        assert_eq!(halves_from_neighbours(&rows, 1, 2), expected);
    }
}
