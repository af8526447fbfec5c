//! A model's tensors, in the memory map.

use crate::architecture::{Architecture, ArchitectureError, Family};
use crate::buffer::{self, Tensor};
use crate::frozen::Weight;
use crate::gguf::{Gguf, GgufError};
use crate::module::Module;
use crate::quantized::Quantized;

/// Every tensor of a model.
#[derive(Debug)]
pub(crate) struct Weights {
    pub embedding: Weight,
    pub layers: Vec<Layer>,
    pub output_norm: Tensor,
    pub head: Weight,
    /// Divisors of the rotary frequencies, of Llama 3.
    pub rope_factors: Option<Tensor>,
}

/// The tensors of one block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub attn_norm: Tensor,
    pub ffn_norm: Tensor,
    /// Gemma's other norms.
    pub gemma: Option<GemmaNorms>,
    projections: Vec<Projection>,
}

/// Norms that only Gemma has.
#[derive(Debug)]
pub(crate) struct GemmaNorms {
    pub q: Tensor,
    pub k: Tensor,
    pub post_attention: Tensor,
    pub post_ffw: Tensor,
}

/// A projection's weight and, in some models, its bias.
#[derive(Debug)]
pub(crate) struct Projection {
    pub weight: Weight,
    pub bias: Option<Tensor>,
}

impl Weights {
    pub fn map(gguf: &Gguf, architecture: &Architecture) -> Result<Self, ArchitectureError> {
        let layers = (0..architecture.n_layer).map(|n| Layer::map(gguf, architecture, n));
        Ok(Self {
            embedding: matrix(gguf, "token_embd.weight")?,
            layers: layers.collect::<Result<_, _>>()?,
            output_norm: vector(gguf, "output_norm.weight")?,
            head: matrix(gguf, Architecture::head_tensor(gguf))?,
            rope_factors: optional(gguf, "rope_freqs.weight")?,
        })
    }
}

impl Layer {
    fn map(gguf: &Gguf, architecture: &Architecture, n: usize) -> Result<Self, ArchitectureError> {
        let norm = |name: &str| vector(gguf, &format!("blk.{n}.{name}.weight"));
        let gemma = match architecture.family {
            Family::Gemma3 => Some(GemmaNorms {
                q: norm("attn_q_norm")?,
                k: norm("attn_k_norm")?,
                post_attention: norm("post_attention_norm")?,
                post_ffw: norm("post_ffw_norm")?,
            }),
            Family::Llama | Family::Qwen2 => None,
        };
        let projection = |module: Module| {
            Ok::<_, ArchitectureError>(Projection {
                weight: matrix(gguf, &module.tensor_name(n))?,
                bias: optional(gguf, &format!("blk.{n}.{module}.bias"))?,
            })
        };
        Ok(Self {
            attn_norm: norm("attn_norm")?,
            ffn_norm: norm("ffn_norm")?,
            gemma,
            projections: Module::ALL.into_iter().map(projection).collect::<Result<_, _>>()?,
        })
    }

    pub fn projection(&self, module: Module) -> &Projection {
        &self.projections[module as usize]
    }
}

fn matrix(gguf: &Gguf, name: &str) -> Result<Weight, ArchitectureError> {
    let info = gguf.tensor(name)?;
    let data = Quantized::new(gguf, info).ok_or_else(|| unsupported(gguf, name))?;
    Ok(Weight { tensor: buffer::map(gguf, info), data })
}

/// Norms, biases and factors enter ggml's element-wise operations, which want F32.
fn vector(gguf: &Gguf, name: &str) -> Result<Tensor, ArchitectureError> {
    let info = gguf.tensor(name)?;
    if info.ggml_type != crate::sys::GGML_TYPE_F32 {
        return Err(unsupported(gguf, name));
    }
    Ok(buffer::map(gguf, info))
}

fn optional(gguf: &Gguf, name: &str) -> Result<Option<Tensor>, ArchitectureError> {
    match vector(gguf, name) {
        Ok(tensor) => Ok(Some(tensor)),
        Err(ArchitectureError::Gguf(GgufError::NoTensor { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn unsupported(gguf: &Gguf, name: &str) -> ArchitectureError {
    ArchitectureError::Variant {
        path: gguf.path().display().to_string(),
        what: format!("the type of tensor {name}"),
    }
}
