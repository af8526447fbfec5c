//! Reading a model's shape from its file, and checking that every tensor is one that is used.

use std::collections::BTreeMap;

use crate::gguf::file::Gguf;
use crate::gguf::tensor_info::TensorInfo;
use crate::gguf::value::Value;
use crate::model::architecture::Architecture;
use crate::model::error::ArchitectureError;
use crate::model::family::Family;
use crate::model::keys::Keys;
use crate::model::kind::FileKind;
use crate::model::refused;
use crate::model::tensors::{EMBEDDING, ModelTensor, model_tensors};
use crate::model::traits::Scales;

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
            missing: refused::missing(name),
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
        let named = |key| match traits.scales {
            Scales::Named => keys.float(key).filter(|&scale| scale != 0.0).map(|x| x as f32),
            Scales::Usual | Scales::Embedding => None,
        };
        let embedding_scale = match traits.scales {
            Scales::Embedding => (n_embd as f32).sqrt(),
            Scales::Usual | Scales::Named => named("embedding_scale").unwrap_or(1.0),
        };
        let rope = keys.rope(&traits, keys.n_rot(&traits, head_dim)?)?;
        let window = keys.window(traits.windows, rope, n_layer)?;
        Ok(Self {
            family,
            n_layer,
            n_embd,
            n_ff: keys.size("feed_forward_length")?,
            n_head,
            n_head_kv: keys.size_or("attention.head_count_kv", n_head)?,
            head_dim,
            context_length: keys.context_length()?,
            n_vocab: keys.gguf.tensor(EMBEDDING)?.ne[1],
            rms_eps: keys.need_float("attention.layer_norm_rms_epsilon")? as f32,
            attention_scale: named("attention.scale")
                .unwrap_or_else(|| 1.0 / (query_width as f32).sqrt()),
            embedding_scale,
            residual_scale: named("residual_scale").unwrap_or(1.0),
            // The file has what logits are divided by.
            logit_scale: named("logit_scale").map_or(1.0, f32::recip),
            nonlinearity: traits.nonlinearity,
            rope,
            rotated: keys.rotated(traits.rotated, window.as_ref(), n_layer),
            window,
            temperature: keys.temperature(rope)?,
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
        let rope = shape.rope(0).expect("every layer rotates");
        assert_eq!((shape.n_head_kv, shape.head_dim, rope.n_rot), (4, 16, 16));
        assert_eq!((rope.freq_base, rope.freq_scale, rope.magnitude), (10_000.0, 1.0, 1.0));
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
            llama(edit).expect("a model").rope.freq_scale
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
        let other = message(llama(|header| header.str("llama.rope.scaling.type", "longrope")));
        assert!(other.contains("rope scaling of type longrope"), "{other}");
    }

    /// Expected values: `attention_scaling` of transformers for a factor of 4.
    #[test]
    fn yarn_has_a_magnitude() {
        let magnitude = |keys: &[(&str, f32)]| {
            let shape = llama(|header| {
                header.str("llama.rope.scaling.type", "yarn");
                header.f32("llama.rope.scaling.factor", 4.0);
                for (key, value) in keys {
                    header.f32(&format!("llama.rope.scaling.{key}"), *value);
                }
            });
            shape.expect("a model").rope.magnitude
        };
        let usual = 1.138_629_4;
        assert_eq!(magnitude(&[]), usual);
        assert_eq!(magnitude(&[("yarn_log_multiplier", 1.0)]), 1.0);
        assert_eq!(magnitude(&[("yarn_attn_factor", 1.2)]), 1.2);
        assert_eq!(magnitude(&[("yarn_attn_factor", 0.878_248_9)]), usual, "R1's Qwen3");
        assert_eq!(magnitude(&[("attn_factor", 0.5)]), 0.5 * usual);
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
        assert!(other.contains("\"mamba\" is not supported: it has state-space layers"), "{other}");
        let other = held(&[(architecture, "new")]);
        assert!(other.contains("\nhint: known are llama, mistral3, qwen2, "), "{other}");
    }
}
