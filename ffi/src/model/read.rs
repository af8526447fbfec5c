//! Reading a model's shape from its file, and checking that every tensor is one that is used.

use std::collections::BTreeMap;

use crate::ggml::rope::Rope;
use crate::gguf::file::Gguf;
use crate::gguf::tensor_info::TensorInfo;
use crate::model::architecture::{Architecture, Window};
use crate::model::error::ArchitectureError;
use crate::model::family::Family;
use crate::model::keys::Keys;
use crate::model::tensors::{EMBEDDING, ModelTensor, model_tensors};

impl Architecture {
    /// Reads the shape from the metadata and checks that every tensor is one that the executor
    /// uses.
    ///
    /// # Errors
    /// If the family or a variant of it is not supported, or the metadata is incomplete.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ArchitectureError> {
        let name = gguf.architecture()?;
        let family = Family::named(name).ok_or_else(|| ArchitectureError::Unsupported {
            path: gguf.path().display().to_string(),
            name: name.to_owned(),
        })?;
        let keys = Keys { gguf, prefix: name };
        keys.refuse_variants()?;
        let architecture = Self::read(&keys, family)?;
        architecture.check_tensors(gguf)?;
        Ok(architecture)
    }

    fn read(keys: &Keys<'_>, family: Family) -> Result<Self, ArchitectureError> {
        let traits = family.traits();
        let n_embd = keys.size("embedding_length")?;
        let n_layer = keys.size("block_count")?;
        let n_head = keys.size("attention.head_count")?;
        let head_dim = keys.size_or("attention.key_length", n_embd / n_head);
        // Gemma 3's largest model scales its queries by the width per head, not by the head's own.
        let largest_gemma = family == Family::Gemma3 && n_layer == 62;
        let query_width = if largest_gemma { n_embd / n_head } else { head_dim };
        let factor = keys.float("rope.scaling.factor").filter(|&f| f > 0.0).unwrap_or(1.0);
        let window = keys.size_or("attention.sliding_window", 0);
        Ok(Self {
            family,
            n_layer,
            n_embd,
            n_ff: keys.size("feed_forward_length")?,
            n_head,
            n_head_kv: keys.size_or("attention.head_count_kv", n_head),
            head_dim,
            context_length: keys.size("context_length")?,
            n_vocab: keys.gguf.tensor(EMBEDDING)?.ne[1],
            rms_eps: keys.need_float("attention.layer_norm_rms_epsilon")? as f32,
            attention_scale: 1.0 / (query_width as f32).sqrt(),
            embedding_scale: if traits.scaled_embedding { (n_embd as f32).sqrt() } else { 1.0 },
            nonlinearity: traits.nonlinearity,
            rope: Rope {
                mode: traits.rope_mode,
                n_rot: keys.size_or("rope.dimension_count", head_dim),
                freq_base: keys.float("rope.freq_base").unwrap_or(10_000.0) as f32,
                freq_scale: (1.0 / factor) as f32,
            },
            window: (traits.windows && window > 0).then(|| Window {
                size: window,
                period: keys.size_or("attention.sliding_window_pattern", 6),
                freq_base: keys.float("rope.freq_base_swa").unwrap_or(10_000.0) as f32,
            }),
        })
    }

    /// ggml ends the process at a wrong shape, so every tensor is checked here, and so that no
    /// tensor is left out of the computation silently, unknown ones are refused.
    fn check_tensors(&self, gguf: &Gguf) -> Result<(), ArchitectureError> {
        let known: BTreeMap<String, ModelTensor> =
            model_tensors(self).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        for tensor in known.values().filter(|tensor| !tensor.optional) {
            gguf.tensor(&tensor.name)?;
        }
        for (name, TensorInfo { ne, .. }) in gguf.tensors() {
            let what = match known.get(name) {
                None => format!("tensor {name} of shape {ne:?}"),
                Some(tensor) if tensor.ne != *ne => {
                    format!("tensor {name} of shape {ne:?} where {:?} belongs", tensor.ne)
                }
                Some(_) => continue,
            };
            return Err(ArchitectureError::variant(gguf, what));
        }
        Ok(())
    }
}
