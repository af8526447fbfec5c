//! The tensors of a model: every name and shape, for those who check a file and those who open it.

use crate::gguf::file::Gguf;
use crate::model::architecture::Architecture;
use crate::model::norm::{HeadNorm, Norm};
use crate::model::projection::Projection;

/// The embedding; the head, too, where the two are tied.
pub(crate) const EMBEDDING: &str = "token_embd.weight";
/// The head of models in which it is not tied to the embedding.
const HEAD: &str = "output.weight";
/// The norm before the head.
pub(crate) const HEAD_NORM: &str = "output_norm.weight";
/// Divisors of the rotary frequencies (Llama 3): one tensor for all layers.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";
/// The same for sequences within the context that the model was first trained with (Phi 3).
pub(crate) const SHORT_ROPE_FACTORS: &str = "rope_factors_short.weight";
/// The same for longer ones, which are refused.
const LONG_ROPE_FACTORS: &str = "rope_factors_long.weight";

impl Projection {
    /// The weight's name in a GGUF.
    pub fn weight_name(self, layer: usize) -> String {
        format!("blk.{layer}.{self}.weight")
    }

    /// The bias's name in a GGUF.
    pub(crate) fn bias_name(self, layer: usize) -> String {
        format!("blk.{layer}.{self}.bias")
    }
}

/// A tensor that a model has or may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelTensor {
    pub name: String,
    pub ne: [usize; 4],
    /// Whether models without it compute as well.
    pub optional: bool,
}

impl ModelTensor {
    fn new(name: impl Into<String>, [n0, n1]: [usize; 2]) -> Self {
        Self { name: name.into(), ne: [n0, n1, 1, 1], optional: false }
    }

    fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// The name of the head's matrix: the embedding's where the two are tied.
pub(crate) fn head_name(gguf: &Gguf) -> &'static str {
    if gguf.tensors().contains_key(HEAD) { HEAD } else { EMBEDDING }
}

/// Names of what the head computes with.
pub(crate) fn head_names(gguf: &Gguf) -> Vec<String> {
    [HEAD_NORM, head_name(gguf)].map(str::to_owned).to_vec()
}

/// The tensors of one layer.
pub(crate) fn layer_tensors(shape: &Architecture, layer: usize) -> Vec<ModelTensor> {
    let traits = shape.family.traits();
    let norm = |&norm: &Norm| {
        let heads = |n_head| match traits.head_norm {
            HeadNorm::Each | HeadNorm::EachRotated => shape.head_dim,
            HeadNorm::All => n_head * shape.head_dim,
        };
        let width = match norm {
            Norm::Q => heads(shape.n_head),
            Norm::K => heads(shape.n_head_kv),
            Norm::Attn | Norm::Ffn | Norm::PostAttention | Norm::PostFfw => shape.n_embd,
        };
        ModelTensor::new(traits.norm_name(norm, layer), [width, 1])
    };
    let mut all: Vec<_> = traits.norms.iter().map(norm).collect();
    for &projection in traits.projections {
        let (n_in, n_out) = shape.projection_shape(projection);
        all.push(ModelTensor::new(projection.weight_name(layer), [n_in, n_out]));
        all.push(ModelTensor::new(projection.bias_name(layer), [n_out, 1]).optional());
    }
    all
}

/// Names of what a layer computes with, of those that the file has.
pub(crate) fn layer_names(gguf: &Gguf, shape: &Architecture, layer: usize) -> Vec<String> {
    let names = layer_tensors(shape, layer).into_iter().map(|tensor| tensor.name);
    let names = names.chain([ROPE_FACTORS, SHORT_ROPE_FACTORS].map(str::to_owned));
    names.filter(|name| gguf.tensors().contains_key(name)).collect()
}

/// Every tensor that a model of this shape has or may have.
pub(crate) fn model_tensors(shape: &Architecture) -> Vec<ModelTensor> {
    let Architecture { n_embd, n_vocab, .. } = *shape;
    let mut all = vec![
        ModelTensor::new(EMBEDDING, [n_embd, n_vocab]),
        ModelTensor::new(HEAD, [n_embd, n_vocab]).optional(),
        ModelTensor::new(HEAD_NORM, [n_embd, 1]),
    ];
    all.extend(
        [ROPE_FACTORS, SHORT_ROPE_FACTORS, LONG_ROPE_FACTORS]
            .map(|name| ModelTensor::new(name, [shape.rope.n_rot / 2, 1]).optional()),
    );
    all.extend((0..shape.n_layer).flat_map(|layer| layer_tensors(shape, layer)));
    all
}
