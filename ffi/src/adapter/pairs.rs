//! The pairs of matrices in an adapter's GGUF.

use std::path::Path;

use cutq_kernels::Weights;

use super::{AdapterError, LoraPair};
use crate::gguf::dequantize::Quantized;
use crate::gguf::file::Gguf;
use crate::model::architecture::Architecture;
use crate::model::projection::Projection;

/// The file of an adapter, and the model that it is to fit.
pub(super) struct Pairs<'a> {
    pub path: &'a Path,
    pub file: &'a Gguf,
    pub architecture: &'a Architecture,
}

impl Pairs<'_> {
    /// Every pair, by layer and projection. Tensors that belong to no pair are refused, except for
    /// norms, which llama.cpp passes over.
    pub fn read(&self) -> Result<Vec<LoraPair>, AdapterError> {
        for name in self.file.tensors().keys() {
            self.check(name)?;
        }
        let mut pairs = Vec::new();
        for layer in 0..self.architecture.n_layer {
            for &projection in self.architecture.projections() {
                pairs.extend(self.pair(layer, projection)?);
            }
        }
        match pairs.is_empty() {
            true => Err(self.other("it has no matrices".to_owned())),
            false => Ok(pairs),
        }
    }

    /// Refuses a tensor that no pair of this model has.
    fn check(&self, name: &str) -> Result<(), AdapterError> {
        let (weight, other) = match (name.strip_suffix(".lora_a"), name.strip_suffix(".lora_b")) {
            (Some(weight), _) => (weight, format!("{weight}.lora_b")),
            (_, Some(weight)) => (weight, format!("{weight}.lora_a")),
            _ if name.ends_with("_norm.weight") => return Ok(()),
            _ => return Err(self.refuse(name, "it is neither a lora_a nor a lora_b")),
        };
        if !self.file.tensors().contains_key(&other) {
            return Err(self.refuse(name, format!("its other half, {other}, is missing")));
        }
        if ["token_embd.weight", "output.weight"].contains(&weight) {
            let reason = "embedding and head are not adapted here, only the layers' projections";
            return Err(self.refuse(name, reason));
        }
        let Some(layer) = self.layer(weight) else {
            return Err(self.other(format!("it adapts {weight}, which the model lacks")));
        };
        let n_layer = self.architecture.n_layer;
        if layer >= n_layer {
            return Err(self.other(format!("it adapts {weight}, the model has {n_layer} layers")));
        }
        Ok(())
    }

    fn pair(&self, layer: usize, projection: Projection) -> Result<Option<LoraPair>, AdapterError> {
        let (n_in, n_out) = self.architecture.projection_shape(projection);
        let mut pair = LoraPair { layer, projection, n_in, n_out, a: vec![], b: vec![] };
        let (name_a, name_b) = (pair.name_a(), pair.name_b());
        let Some(a) = self.file.tensors().get(&name_a) else { return Ok(None) };
        let (r, its) = (a.ne[1], self.file.tensor(&name_b)?.ne[0]);
        if r != its || r == 0 {
            return Err(self.refuse(&name_a, format!("its rank is {r}, that of {name_b} {its}")));
        }
        pair.a = self.matrix(&name_a, [n_in, r])?;
        pair.b = self.matrix(&name_b, [r, n_out])?;
        Ok(Some(pair))
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Vec<f32>, AdapterError> {
        let info = self.file.tensor(name)?;
        if info.ne != [shape[0], shape[1], 1, 1] {
            let reason = format!("{name} is of shape {:?}, the model wants {shape:?}", info.ne);
            return Err(self.other(reason));
        }
        let matrix = Quantized::new(self.file, info)
            .ok_or_else(|| self.refuse(name, "its type cannot be read"))?;
        let mut values = vec![0.0; shape[0] * shape[1]];
        for (row, out) in values.chunks_exact_mut(shape[0]).enumerate() {
            matrix.unpack(row, 0, out);
        }
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(self.refuse(name, format!("it holds {value}"))),
            None => Ok(values),
        }
    }

    /// The layer of a projection's weight.
    fn layer(&self, weight: &str) -> Option<usize> {
        let layer = weight.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()?;
        let mut known = self.architecture.projections().iter();
        known.any(|p| p.weight_name(layer) == weight).then_some(layer)
    }

    fn refuse(&self, tensor: &str, reason: impl Into<String>) -> AdapterError {
        let (path, tensor) = (self.path.to_owned(), tensor.to_owned());
        AdapterError::Tensor { path, tensor, reason: reason.into() }
    }

    fn other(&self, reason: String) -> AdapterError {
        AdapterError::OtherModel { path: self.path.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Adapter;
    use crate::ggml::tensor_type::TensorType;
    use crate::gguf::header::GgufHeader;
    use crate::model::family::Family;
    use crate::model::tiny::tiny;
    use tempfile::TempDir;

    /// Of 64 by 96.
    const UP: &str = "blk.0.ffn_up.weight";
    /// Of 64 by 64.
    const Q: &str = "blk.1.attn_q.weight";

    /// Loads an adapter of these tensors of ones; `edit` changes its keys.
    fn load(
        tensors: &[(&str, [usize; 2])],
        edit: impl FnOnce(&mut GgufHeader),
    ) -> Result<Adapter, AdapterError> {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("a.gguf");
        let mut header = GgufHeader::new();
        header.str("general.architecture", "llama");
        header.str("general.type", "adapter");
        header.str("adapter.type", "lora");
        edit(&mut header);
        let mut data = Vec::new();
        for (name, shape) in tensors {
            header.tensor(name, TensorType::F32, *shape);
            data.extend(vec![1.0f32; shape[0] * shape[1]]);
            data.resize(data.len().next_multiple_of(8), 0.0);
        }
        let bytes = [&header.bytes()[..], bytemuck::cast_slice(&data)].concat();
        std::fs::write(&path, bytes).expect("writes");
        let model = tiny(Family::Llama, |_| ());
        let architecture = Architecture::from_gguf(&model).expect("a model");
        Adapter::load(&path, &model, &architecture)
    }

    /// The tensors of two pairs of these ranks.
    fn pairs(up: usize, q: usize) -> Vec<(String, [usize; 2])> {
        vec![
            (format!("{UP}.lora_a"), [64, up]),
            (format!("{UP}.lora_b"), [up, 96]),
            (format!("{Q}.lora_a"), [64, q]),
            (format!("{Q}.lora_b"), [q, 64]),
        ]
    }

    fn borrowed(tensors: &[(String, [usize; 2])]) -> Vec<(&str, [usize; 2])> {
        tensors.iter().map(|(name, shape)| (name.as_str(), *shape)).collect()
    }

    #[test]
    fn every_pair_has_its_rank_and_scaling() {
        let tensors = pairs(2, 8);
        let alpha = |header: &mut GgufHeader| header.f32("adapter.lora.alpha", 4.0);
        let adapter = load(&borrowed(&tensors), alpha).expect("loads");
        let found: Vec<_> = adapter.pairs.iter().map(|p| (p.r(), adapter.scaling(p))).collect();
        assert_eq!(found, [(2, 2.0), (8, 0.5)]);
        assert_eq!(adapter.config.r, 8);
        let folder = TempDir::new().expect("a folder");
        let (path, model) = (folder.path().join("b.gguf"), tiny(Family::Llama, |_| ()));
        adapter.save_gguf(&path).expect("saves");
        let shape = Architecture::from_gguf(&model).expect("a model");
        assert_eq!(Adapter::load(&path, &model, &shape).expect("loads"), adapter);
        adapter.save_peft(folder.path(), &shape).expect("saves");
        let config = std::fs::read(folder.path().join("adapter_config.json")).expect("is there");
        let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
        assert_eq!(config["r"], 8);
        assert_eq!(config["rank_pattern"]["model.layers.0.mlp.up_proj"], 2);
    }

    #[test]
    fn no_alpha_scales_by_one() {
        let tensors = pairs(2, 8);
        for alpha in [None, Some(0.0)] {
            let edit = |header: &mut GgufHeader| {
                alpha.iter().for_each(|&alpha| header.f32("adapter.lora.alpha", alpha));
            };
            let adapter = load(&borrowed(&tensors), edit).expect("loads");
            assert!(adapter.pairs.iter().all(|pair| adapter.scaling(pair) == 1.0));
            let folder = TempDir::new().expect("a folder");
            let shape = Architecture::from_gguf(&tiny(Family::Llama, |_| ())).expect("a model");
            adapter.save_peft(folder.path(), &shape).expect("saves");
            let config = std::fs::read(folder.path().join("adapter_config.json")).expect("saved");
            let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
            assert_eq!(config["lora_alpha"], 8.0);
            assert_eq!(config["alpha_pattern"]["model.layers.0.mlp.up_proj"], 2);
        }
    }

    #[test]
    fn norms_are_passed_over_as_in_llama_cpp() {
        let mut tensors = pairs(2, 2);
        tensors.push(("blk.0.attn_norm.weight".to_owned(), [64, 1]));
        let adapter = load(&borrowed(&tensors), |_| ()).expect("loads");
        assert_eq!(adapter.pairs.len(), 2);
    }

    #[test]
    fn tensors_without_a_use_are_named() {
        let head = [("output.weight.lora_a", [64, 2]), ("output.weight.lora_b", [2, 40])];
        let far =
            [("blk.7.ffn_up.weight.lora_a", [64, 2]), ("blk.7.ffn_up.weight.lora_b", [2, 96])];
        let unknown =
            [("blk.0.attn_qkv.weight.lora_a", [64, 2]), ("blk.0.attn_qkv.weight.lora_b", [2, 96])];
        let ranks =
            [("blk.0.ffn_up.weight.lora_a", [64, 2]), ("blk.0.ffn_up.weight.lora_b", [4, 96])];
        let wide =
            [("blk.0.ffn_up.weight.lora_a", [32, 2]), ("blk.0.ffn_up.weight.lora_b", [2, 96])];
        for (tensors, expected) in [
            (&head[..], "tensor output.weight.lora_a: embedding and head are not adapted here"),
            (&far, "another model: it adapts blk.7.ffn_up.weight, the model has 2 layers"),
            (&unknown, "another model: it adapts blk.0.attn_qkv.weight, which the model lacks"),
            (&ranks, "its rank is 2, that of blk.0.ffn_up.weight.lora_b 4"),
            (&wide, "is of shape [32, 2, 1, 1], the model wants [64, 2]"),
            (&far[..1], "its other half, blk.7.ffn_up.weight.lora_b, is missing"),
            (&[("blk.0.ffn_up.lora_magnitude", [96, 1])], "neither a lora_a nor a lora_b"),
            (&[("blk.0.ffn_norm.weight", [64, 1])], "it has no matrices"),
        ] {
            let message = load(tensors, |_| ()).expect_err("refuses").to_string();
            assert!(message.contains(expected), "{message} lacks {expected}");
        }
    }

    #[test]
    fn adapters_of_another_kind_are_named() {
        let tensors = pairs(2, 2);
        let message = |edit: &dyn Fn(&mut GgufHeader)| {
            load(&borrowed(&tensors), edit).expect_err("refuses").to_string()
        };
        let other = message(&|header| header.str("general.architecture", "qwen2"));
        assert!(other.contains("its architecture is qwen2, the model's llama"), "{other}");
        let kind = message(&|header| header.i32s("adapter.alora.invocation_tokens", &[1]));
        assert!(kind.contains("an activated LoRA"), "{kind}");
        let model = message(&|header| header.str("general.type", "model"));
        assert!(model.contains("not a LoRA adapter"), "{model}");
    }
}
