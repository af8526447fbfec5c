//! A model's tensors: in the memory map for the CPU, copied to any other device.

use std::collections::BTreeMap;

use crate::architecture::{Architecture, ArchitectureError, Family};
use crate::backend::{Backend, BackendError};
use crate::buffer::{self, Tensor};
use crate::engine::EngineError;
use crate::frozen::Weight;
use crate::gguf::{Gguf, TensorInfo};
use crate::module::Module;
use crate::quantized::Quantized;

/// Every tensor of a model.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Read on the host, a row per token.
    pub embedding: Quantized,
    pub layers: Vec<Layer>,
    pub output_norm: Tensor,
    pub head: Weight,
    /// Divisors of the rotary frequencies, of Llama 3.
    pub rope_factors: Option<Tensor>,
    /// Keeps the map alive that the host's views point into.
    _gguf: Gguf,
}

/// Where tensors go.
#[derive(Clone, Copy)]
pub(crate) enum Residence<'a> {
    /// They stay in the memory map.
    Map,
    /// They are copied to a device.
    Device(&'a Backend),
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
    pub fn open(
        gguf: &Gguf,
        architecture: &Architecture,
        residence: Residence<'_>,
    ) -> Result<Self, EngineError> {
        let layer = |n| Layer::open(gguf, architecture, n, residence);
        let layers = (0..architecture.n_layer).map(layer).collect::<Result<_, _>>()?;
        let head = Architecture::head_tensor(gguf);
        let names = ["output_norm.weight", head, "rope_freqs.weight"];
        let mut group = Group::open(gguf, names.map(str::to_owned), residence)?;
        Ok(Self {
            embedding: quantized(gguf, "token_embd.weight")?,
            layers,
            output_norm: group.vector("output_norm.weight")?,
            head: group.matrix(head)?,
            rope_factors: group.optional("rope_freqs.weight")?,
            _gguf: gguf.clone(),
        })
    }
}

impl Layer {
    fn open(
        gguf: &Gguf,
        architecture: &Architecture,
        n: usize,
        residence: Residence<'_>,
    ) -> Result<Self, EngineError> {
        let prefix = format!("blk.{n}.");
        let names = gguf.tensors().keys().filter(|name| name.starts_with(&prefix)).cloned();
        let mut group = Group::open(gguf, names, residence)?;
        let mut norm = |name: &str| group.vector(&format!("blk.{n}.{name}.weight"));
        let (attn_norm, ffn_norm) = (norm("attn_norm")?, norm("ffn_norm")?);
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
                weight: group.matrix(&module.tensor_name(n))?,
                bias: group.optional(&format!("blk.{n}.{module}.bias"))?,
            })
        };
        let projections = Module::ALL.into_iter().map(projection).collect::<Result<_, _>>()?;
        Ok(Self { attn_norm, ffn_norm, gemma, projections })
    }

    pub fn projection(&self, module: Module) -> &Projection {
        &self.projections[module as usize]
    }
}

/// Tensors that come and go together.
struct Group<'a> {
    gguf: &'a Gguf,
    tensors: BTreeMap<String, Tensor>,
}

impl<'a> Group<'a> {
    /// Those of `names` that the file has.
    fn open(
        gguf: &'a Gguf,
        names: impl IntoIterator<Item = String>,
        residence: Residence<'_>,
    ) -> Result<Self, BackendError> {
        let known = |name: String| gguf.tensors().get(&name).map(|info| (name, info));
        let (names, infos): (Vec<_>, Vec<&TensorInfo>) =
            names.into_iter().filter_map(known).unzip();
        let tensors = match residence {
            Residence::Map => infos.iter().map(|info| buffer::map(gguf, info)).collect(),
            Residence::Device(backend) => buffer::upload(gguf, &infos, backend)?,
        };
        Ok(Self { gguf, tensors: names.into_iter().zip(tensors).collect() })
    }

    fn take(&mut self, name: &str) -> Result<Tensor, ArchitectureError> {
        // Asking the file for its description says which tensor is missing.
        self.gguf.tensor(name)?;
        Ok(self.tensors.remove(name).expect("every tensor of the group is taken once"))
    }

    fn matrix(&mut self, name: &str) -> Result<Weight, ArchitectureError> {
        let data = quantized(self.gguf, name)?;
        Ok(Weight { tensor: self.take(name)?, data })
    }

    /// Norms, biases and factors enter ggml's element-wise operations, which want F32.
    fn vector(&mut self, name: &str) -> Result<Tensor, ArchitectureError> {
        if self.gguf.tensor(name)?.ggml_type != crate::sys::GGML_TYPE_F32 {
            return Err(unsupported(self.gguf, name));
        }
        self.take(name)
    }

    fn optional(&mut self, name: &str) -> Result<Option<Tensor>, ArchitectureError> {
        let there = self.gguf.tensors().contains_key(name);
        there.then(|| self.vector(name)).transpose()
    }
}

fn quantized(gguf: &Gguf, name: &str) -> Result<Quantized, ArchitectureError> {
    Quantized::new(gguf, gguf.tensor(name)?).ok_or_else(|| unsupported(gguf, name))
}

fn unsupported(gguf: &Gguf, name: &str) -> ArchitectureError {
    ArchitectureError::Variant {
        path: gguf.path().display().to_string(),
        what: format!("the type of tensor {name}"),
    }
}
