//! What differs between model families, as data: one executor serves them all.

use cutq_kernels::Nonlinearity;

use crate::gguf::file::{Gguf, GgufError, Value};
use crate::model::projection::Module;

/// Why a model cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// The family is not one of those implemented.
    #[error("{path}: architecture {name:?} is not supported: known are llama, qwen2 and gemma3")]
    Unsupported {
        /// The file.
        path: String,
        /// `general.architecture`.
        name: String,
    },
    /// The family is known, this variant of it is not.
    #[error("{path}: {what} is not supported")]
    Variant {
        /// The file.
        path: String,
        /// What stands in the way.
        what: String,
    },
    /// The file is broken.
    #[error(transparent)]
    Gguf(#[from] GgufError),
}

/// Model families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3, SmolLM2, Mistral, TinyLlama.
    Llama,
    /// Qwen2 and Qwen2.5: Q, K and V have a bias.
    Qwen2,
    /// Gemma 3: norms around every part, norms on Q and K, GELU, sliding windows.
    Gemma3,
}

/// How rotary embeddings pair up the dimensions of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeMode {
    /// Neighbours: (0, 1), (2, 3), …
    Norm,
    /// Halves: (0, n/2), (1, n/2 + 1), …
    Neox,
}

/// Rotary position embedding of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// How dimensions are paired.
    pub mode: RopeMode,
    /// Dimensions that rotate.
    pub n_rot: usize,
    /// Base of the frequencies.
    pub freq_base: f32,
    /// Positions are multiplied by this.
    pub freq_scale: f32,
}

/// The shape of a model and the choices of its family.
#[derive(Debug, Clone)]
pub struct Architecture {
    /// The family.
    pub family: Family,
    /// Transformer blocks.
    pub n_layer: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Width of the feed-forward network.
    pub n_ff: usize,
    /// Attention heads.
    pub n_head: usize,
    /// Heads of K and V.
    pub n_head_kv: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Tokens that the model was trained to hold.
    pub context_length: usize,
    /// Entries of the vocabulary.
    pub n_vocab: usize,
    /// Added to the mean square in RMS norms.
    pub rms_eps: f32,
    /// Scores are multiplied by this.
    pub attention_scale: f32,
    /// Embeddings are multiplied by this.
    pub embedding_scale: f32,
    /// The gate's nonlinearity.
    pub activation: Nonlinearity,
    rope: Rope,
    window: Option<Window>,
}

/// Sliding-window attention: all layers but every `period`-th see `size` tokens only.
#[derive(Debug, Clone, Copy)]
struct Window {
    size: usize,
    period: usize,
    freq_base: f32,
}

impl Architecture {
    /// Reads the shape from the metadata and checks that every tensor is one that the executor uses.
    ///
    /// # Errors
    /// If the family or a variant of it is not supported, or the metadata is incomplete.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ArchitectureError> {
        let name = gguf.architecture()?;
        let family = match name {
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "gemma3" => Family::Gemma3,
            _ => {
                return Err(ArchitectureError::Unsupported {
                    path: gguf.path().display().to_string(),
                    name: name.to_owned(),
                });
            }
        };
        let keys = Keys { gguf, prefix: name };
        keys.refuse_variants()?;
        let architecture = Self::read(&keys, family)?;
        architecture.check_shapes(gguf)?;
        Ok(architecture)
    }

    fn read(keys: &Keys<'_>, family: Family) -> Result<Self, ArchitectureError> {
        let n_embd = keys.size("embedding_length")?;
        let n_layer = keys.size("block_count")?;
        let n_head = keys.size("attention.head_count")?;
        let head_dim = keys.size_or("attention.key_length", n_embd / n_head);
        let n_rot = keys.size_or("rope.dimension_count", head_dim);
        let gemma = family == Family::Gemma3;
        // Gemma 3's largest model scales its queries by the width per head, not by the head's own.
        let query_width = if gemma && n_layer == 62 { n_embd / n_head } else { head_dim };
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
            n_vocab: keys.gguf.tensor(Self::EMBEDDING_TENSOR)?.ne[1],
            rms_eps: keys.need_float("attention.layer_norm_rms_epsilon")? as f32,
            attention_scale: 1.0 / (query_width as f32).sqrt(),
            embedding_scale: if gemma { (n_embd as f32).sqrt() } else { 1.0 },
            activation: if gemma { Nonlinearity::Gelu } else { Nonlinearity::Silu },
            rope: Rope {
                mode: if family == Family::Llama { RopeMode::Norm } else { RopeMode::Neox },
                n_rot,
                freq_base: keys.float("rope.freq_base").unwrap_or(10_000.0) as f32,
                freq_scale: (1.0 / factor) as f32,
            },
            window: (gemma && window > 0).then(|| Window {
                size: window,
                period: keys.size_or("attention.sliding_window_pattern", 6),
                freq_base: keys.float("rope.freq_base_swa").unwrap_or(10_000.0) as f32,
            }),
        })
    }

    /// The rotary embedding of block `layer`.
    pub fn rope(&self, layer: usize) -> Rope {
        match self.window {
            Some(window) if self.is_local(layer) => {
                Rope { freq_base: window.freq_base, freq_scale: 1.0, ..self.rope }
            }
            _ => self.rope,
        }
    }

    /// How many tokens, itself included, a token of block `layer` sees; `None` for all before it.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.window.filter(|_| self.is_local(layer)).map(|w| w.size)
    }

    fn is_local(&self, layer: usize) -> bool {
        self.window.is_some_and(|w| w.period > 0 && layer % w.period < w.period - 1)
    }

    /// Input and output width of a module.
    pub fn module_shape(&self, module: Module) -> (usize, usize) {
        let (q, kv) = (self.n_head * self.head_dim, self.n_head_kv * self.head_dim);
        match module {
            Module::AttnQ => (self.n_embd, q),
            Module::AttnK | Module::AttnV => (self.n_embd, kv),
            Module::AttnOutput => (q, self.n_embd),
            Module::FfnGate | Module::FfnUp => (self.n_embd, self.n_ff),
            Module::FfnDown => (self.n_ff, self.n_embd),
        }
    }

    /// Weights of the head per weight of the blocks.
    pub fn head_share(&self) -> f64 {
        let size = |module| {
            let (n_in, n_out) = self.module_shape(module);
            n_in * n_out
        };
        let block: usize = Module::ALL.map(size).iter().sum();
        (self.n_embd * self.n_vocab) as f64 / (block * self.n_layer) as f64
    }

    /// The name of the embedding's tensor.
    pub const EMBEDDING_TENSOR: &str = "token_embd.weight";

    /// The name of the GGUF's head: the embedding where the two are tied.
    pub fn head_tensor(gguf: &Gguf) -> &'static str {
        if gguf.tensors().contains_key("output.weight") {
            "output.weight"
        } else {
            Self::EMBEDDING_TENSOR
        }
    }

    /// Names of the norms of a block, in no order.
    fn norms(&self) -> &'static [&'static str] {
        match self.family {
            Family::Llama | Family::Qwen2 => &["attn_norm", "ffn_norm"],
            Family::Gemma3 => &[
                "attn_norm",
                "ffn_norm",
                "attn_q_norm",
                "attn_k_norm",
                "post_attention_norm",
                "post_ffw_norm",
            ],
        }
    }

    /// ggml ends the process at a wrong shape, so every tensor is checked here, and so that no
    /// tensor is left out of the computation silently, unknown ones are refused.
    fn check_shapes(&self, gguf: &Gguf) -> Result<(), ArchitectureError> {
        let mut known = vec![
            (Self::EMBEDDING_TENSOR.to_owned(), vec![self.n_embd, self.n_vocab]),
            (Self::head_tensor(gguf).to_owned(), vec![self.n_embd, self.n_vocab]),
            ("output_norm.weight".to_owned(), vec![self.n_embd]),
        ];
        for layer in 0..self.n_layer {
            for module in Module::ALL {
                let (n_in, n_out) = self.module_shape(module);
                known.push((module.tensor_name(layer), vec![n_in, n_out]));
            }
            for norm in self.norms() {
                let head_norm = norm.starts_with("attn_q") || norm.starts_with("attn_k");
                let width = if head_norm { self.head_dim } else { self.n_embd };
                known.push((format!("blk.{layer}.{norm}.weight"), vec![width]));
            }
        }
        for (name, shape) in &known {
            self.check_tensor(gguf, name, shape)?;
        }
        self.refuse_unknown(gguf, &known)
    }

    fn check_tensor(
        &self,
        gguf: &Gguf,
        name: &str,
        shape: &[usize],
    ) -> Result<(), ArchitectureError> {
        let ne = gguf.tensor(name)?.ne;
        let expected: [usize; 4] = std::array::from_fn(|d| shape.get(d).copied().unwrap_or(1));
        if ne == expected {
            return Ok(());
        }
        Err(variant(gguf, format!("tensor {name} of shape {ne:?} where {expected:?} belongs")))
    }

    /// Biases of modules and the rotary frequency factors may be there or not; all else must be known.
    fn refuse_unknown(
        &self,
        gguf: &Gguf,
        known: &[(String, Vec<usize>)],
    ) -> Result<(), ArchitectureError> {
        let known: std::collections::BTreeSet<&str> = known.iter().map(|k| k.0.as_str()).collect();
        for (name, info) in gguf.tensors() {
            let bias = Module::ALL.iter().find(|m| name.ends_with(&format!(".{m}.bias")));
            let width = match bias {
                Some(&module) => Some(self.module_shape(module).1),
                None if name == "rope_freqs.weight" => Some(self.rope.n_rot / 2),
                None => None,
            };
            match width {
                Some(width) => self.check_tensor(gguf, name, &[width])?,
                None if known.contains(name.as_str()) => {}
                None => {
                    return Err(variant(gguf, format!("tensor {name} of shape {:?}", info.ne)));
                }
            }
        }
        Ok(())
    }
}

/// Metadata of one family: keys are `prefix.key`.
struct Keys<'a> {
    gguf: &'a Gguf,
    prefix: &'a str,
}

impl Keys<'_> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn size(&self, key: &str) -> Result<usize, GgufError> {
        let full = self.full(key);
        self.gguf
            .int(&full)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n > 0)
            .ok_or_else(|| self.gguf.key_error(&full, "a positive integer"))
    }

    fn size_or(&self, key: &str, default: usize) -> usize {
        self.size(key).unwrap_or(default)
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.gguf.float(&self.full(key))
    }

    fn need_float(&self, key: &str) -> Result<f64, GgufError> {
        self.float(key).ok_or_else(|| self.gguf.key_error(&self.full(key), "a number"))
    }

    /// Variants of a known family whose computation differs from the one written here.
    fn refuse_variants(&self) -> Result<(), ArchitectureError> {
        if self.gguf.int(&self.full("expert_count")).unwrap_or(0) > 0 {
            return Err(variant(self.gguf, "a mixture of experts".into()));
        }
        if let Some(kind) = self.gguf.str(&self.full("rope.scaling.type"))
            && !matches!(kind, "none" | "linear")
        {
            return Err(variant(self.gguf, format!("rope scaling of type {kind}")));
        }
        if self.float("final_logit_softcapping").unwrap_or(0.0) != 0.0 {
            return Err(variant(self.gguf, "soft-capping of the logits".into()));
        }
        for key in ["attention.head_count_kv", "attention.head_count", "feed_forward_length"] {
            if let Some(Value::Ints(_)) = self.gguf.value(&self.full(key)) {
                return Err(variant(self.gguf, format!("{key} that differs between layers")));
            }
        }
        let key_length = self.float("attention.key_length");
        if self.float("attention.value_length") != key_length {
            return Err(variant(self.gguf, "heads whose keys and values differ in width".into()));
        }
        Ok(())
    }
}

fn variant(gguf: &Gguf, what: String) -> ArchitectureError {
    ArchitectureError::Variant { path: gguf.path().display().to_string(), what }
}
