//! Reading a model's shape from its file, and checking that every tensor is one that is used.

use std::collections::BTreeMap;

use crate::ggml::rope::Rope;
use crate::gguf::file::Gguf;
use crate::gguf::tensor_info::TensorInfo;
use crate::gguf::value::Value;
use crate::model::architecture::{Architecture, Window};
use crate::model::error::ArchitectureError;
use crate::model::family::Family;
use crate::model::keys::Keys;
use crate::model::kind::FileKind;
use crate::model::tensors::{EMBEDDING, ModelTensor, model_tensors};

impl Architecture {
    /// Reads the shape from the metadata and checks that every tensor is one that the executor
    /// uses.
    ///
    /// # Errors
    /// If the family or a variant of it is not supported, or the metadata is incomplete.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ArchitectureError> {
        let path = || gguf.path().display().to_string();
        if let Some(kind) = FileKind::of(gguf) {
            return Err(ArchitectureError::NoModel { path: path(), kind });
        }
        let name = gguf.architecture()?;
        let family = Family::named(name).ok_or_else(|| ArchitectureError::Unsupported {
            path: path(),
            name: name.to_owned(),
        })?;
        let keys = Keys { gguf, prefix: name };
        keys.refuse_variants()?;
        let architecture = Self::read(&keys, family)?;
        architecture.check_tensors(gguf)?;
        architecture.check_vocabulary(gguf)?;
        Ok(architecture)
    }

    fn read(keys: &Keys<'_>, family: Family) -> Result<Self, ArchitectureError> {
        let traits = family.traits();
        let n_embd = keys.size("embedding_length")?;
        let n_layer = keys.size("block_count")?;
        let n_head = keys.size("attention.head_count")?;
        let head_dim = keys.head_dim(n_embd / n_head)?;
        // Gemma 3's largest model scales its queries by the width per head, not by the head's own.
        let largest_gemma = family == Family::Gemma3 && n_layer == 62;
        let query_width = if largest_gemma { n_embd / n_head } else { head_dim };
        Ok(Self {
            family,
            n_layer,
            n_embd,
            n_ff: keys.size("feed_forward_length")?,
            n_head,
            n_head_kv: keys.size_or("attention.head_count_kv", n_head)?,
            head_dim,
            context_length: keys.size("context_length")?,
            n_vocab: keys.gguf.tensor(EMBEDDING)?.ne[1],
            rms_eps: keys.need_float("attention.layer_norm_rms_epsilon")? as f32,
            attention_scale: 1.0 / (query_width as f32).sqrt(),
            embedding_scale: if traits.scaled_embedding { (n_embd as f32).sqrt() } else { 1.0 },
            nonlinearity: traits.nonlinearity,
            rope: Rope {
                mode: traits.rope_mode,
                n_rot: head_dim,
                freq_base: keys.float("rope.freq_base").unwrap_or(10_000.0) as f32,
                freq_scale: (1.0 / keys.rope_factor()) as f32,
            },
            window: if traits.windows { Self::read_window(keys, n_layer)? } else { None },
        })
    }

    fn read_window(keys: &Keys<'_>, n_layer: usize) -> Result<Option<Window>, ArchitectureError> {
        if keys.int("attention.sliding_window").unwrap_or(0) == 0 {
            return Ok(None);
        }
        Ok(Some(Window {
            size: keys.size("attention.sliding_window")?,
            local: keys.local_layers(n_layer)?,
            freq_base: keys.float("rope.freq_base_swa").unwrap_or(10_000.0) as f32,
        }))
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

    /// llama.cpp loads no model whose tokenizer is of another size.
    fn check_vocabulary(&self, gguf: &Gguf) -> Result<(), ArchitectureError> {
        match gguf.value("tokenizer.ggml.tokens") {
            Some(Value::Strs(tokens)) if gguf.has_tokenizer() && tokens.len() != self.n_vocab => {
                let (its, rows) = (tokens.len(), self.n_vocab);
                let what = format!("a tokenizer of {its} tokens where {EMBEDDING} has {rows} rows");
                Err(ArchitectureError::variant(gguf, what))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::header::GgufHeader;
    use crate::model::tiny::{open, shape};

    fn llama(edit: impl FnOnce(&mut GgufHeader)) -> Result<Architecture, ArchitectureError> {
        shape(Family::Llama, edit)
    }

    #[test]
    fn keys_that_a_file_lacks_have_llama_cpps_defaults() {
        let shape = llama(|_| ()).expect("a model");
        assert_eq!((shape.n_head_kv, shape.head_dim, shape.rope(0).n_rot), (4, 16, 16));
        assert_eq!((shape.rope(0).freq_base, shape.rope(0).freq_scale), (10_000.0, 1.0));
        assert_eq!(shape.window(0), None);
    }

    #[test]
    fn rope_scaling_has_an_old_name_and_can_be_none() {
        let scale = |kind: Option<&str>, factor: Option<f32>, linear: Option<f32>| {
            let edit = |header: &mut GgufHeader| {
                kind.iter().for_each(|kind| header.str("llama.rope.scaling.type", kind));
                factor.iter().for_each(|&x| header.f32("llama.rope.scaling.factor", x));
                linear.iter().for_each(|&x| header.f32("llama.rope.scale_linear", x));
            };
            llama(edit).expect("a model").rope(0).freq_scale
        };
        assert_eq!(scale(Some("linear"), Some(4.0), None), 0.25);
        assert_eq!(scale(None, Some(4.0), None), 0.25, "linear unless said otherwise");
        assert_eq!(scale(None, None, Some(2.0)), 0.5);
        assert_eq!(scale(None, Some(4.0), Some(2.0)), 0.25, "the new name goes before");
        assert_eq!(scale(None, Some(0.0), Some(2.0)), 1.0, "0 stands for 1");
        assert_eq!(scale(Some("none"), Some(4.0), None), 1.0);
        assert_eq!(scale(Some("none"), None, Some(2.0)), 1.0);
    }

    #[test]
    fn sizes_may_be_arrays_of_one_value() {
        let keys = ["attention.head_count", "attention.head_count_kv", "feed_forward_length"];
        for (key, value) in keys.into_iter().zip([4, 4, 96]) {
            let key = format!("llama.{key}");
            let shape = llama(|header| header.i32s(&key, &[value, value])).expect("a model");
            assert_eq!((shape.n_head, shape.n_head_kv, shape.n_ff), (4, 4, 96));
            let mixed = message(llama(|header| header.i32s(&key, &[value, 2])));
            let expected = format!("differs between layers ({value}, 2) is not supported");
            assert!(mixed.contains(&expected), "{mixed} lacks {expected}");
            let short = message(llama(|header| header.i32s(&key, &[value; 3])));
            assert!(short.contains("3 values"), "{short}");
        }
    }

    #[test]
    fn windows_are_a_period_or_an_array() {
        let local = |edit: &dyn Fn(&mut GgufHeader)| {
            let shape = shape(Family::Gemma3, |header| {
                header.u32("gemma3.attention.sliding_window", 8);
                edit(header);
            });
            let shape = shape.expect("a model");
            [0, 1].map(|layer| shape.window(layer).is_some())
        };
        let key = "gemma3.attention.sliding_window_pattern";
        assert_eq!(local(&|_| ()), [true, true]);
        assert_eq!(local(&|header| header.u32(key, 2)), [true, false]);
        assert_eq!(local(&|header| header.u32(key, 1)), [false, false]);
        assert_eq!(local(&|header| header.u32(key, 0)), [true, true]);
        assert_eq!(local(&|header| header.i32s(key, &[0, 1])), [false, true]);
    }

    fn message(shape: Result<Architecture, ArchitectureError>) -> String {
        shape.expect_err("refuses").to_string()
    }

    #[test]
    fn what_is_not_computed_is_named() {
        for (key, value, expected) in [
            ("attention.key_length", 8, "attention.value_length of 16 where heads are 8 wide"),
            ("attention.value_length", 8, "attention.value_length of 8"),
            ("rope.dimension_count", 8, "rope.dimension_count of 8"),
            ("attention.head_count_kv", 0, "head_count_kv is missing or not a positive integer"),
            ("expert_used_count", 2, "a mixture of experts"),
            ("nextn_predict_layers", 1, "layers that predict several tokens"),
            ("attention.causal", 0, "an embedding model"),
            ("pooling_type", 3, "an embedding model"),
        ] {
            let message = message(llama(|header| header.u32(&format!("llama.{key}"), value)));
            assert!(message.contains(expected), "{message} lacks {expected}");
        }
        let yarn = message(llama(|header| header.str("llama.rope.scaling.type", "yarn")));
        assert!(yarn.contains("rope scaling of type yarn"), "{yarn}");
        let factor = message(llama(|header| header.f32("llama.rope.scaling.attn_factor", 0.5)));
        assert!(factor.contains("an attention factor of 0.5"), "{factor}");
    }

    #[test]
    fn a_tokenizer_of_another_size_is_named() {
        let with = |kind: &'static str| {
            llama(|header| {
                header.str("tokenizer.ggml.model", kind);
                header.strs("tokenizer.ggml.tokens", &["a", "b", "c"]);
            })
        };
        let message = message(with("gpt2"));
        assert!(message.contains("a tokenizer of 3 tokens"), "{message}");
        assert!(message.contains("has 40 rows"), "{message}");
        with("no_vocab").expect("no tokenizer is of no size");
    }

    #[test]
    fn files_that_hold_no_model_say_what_they_hold() {
        let held = |values: &[(&str, &str)]| {
            let mut header = GgufHeader::new();
            values.iter().for_each(|(key, value)| header.str(key, value));
            message(Architecture::from_gguf(&open(&header)))
        };
        let kind = "general.type";
        let architecture = "general.architecture";
        for (values, expected) in [
            (&[(kind, "adapter"), (architecture, "llama")][..], "a LoRA adapter, not a model"),
            (&[(kind, "mmproj")], "(mmproj)"),
            (&[(architecture, "clip")], "(mmproj)"),
            (&[(kind, "imatrix")], "an importance matrix"),
            (&[(architecture, "controlvector")], "a control vector"),
            (&[(architecture, "bert")], "an embedding model"),
            (&[(architecture, "gemma-embedding")], "an embedding model"),
            (&[(architecture, "flux")], "makes images"),
            (&[(architecture, "llama"), ("tokenizer.ggml.model", "gpt2")], "a vocabulary only"),
        ] {
            let message = held(values);
            assert!(message.contains(expected), "{message} lacks {expected}");
            assert!(message.contains("\nhint: "), "{message}");
        }
        let other = held(&[(architecture, "mamba")]);
        assert!(other.contains("known are llama, qwen2, qwen3, gemma3"), "{other}");
    }
}
