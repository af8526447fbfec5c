//! The tensors of a synthetic model.

use cutq_ffi::{Family, Projection, TensorType};

use super::{Shape, Synthetic};

/// One tensor.
pub struct Tensor {
    pub name: String,
    pub tensor_type: TensorType,
    /// ne: length and number of rows.
    pub shape: [usize; 2],
    pub values: Values,
}

/// What a tensor's values are like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Around 0.
    Weights,
    /// Around 1.
    Norm,
}

impl Tensor {
    fn matrix(name: String, tensor_type: TensorType, shape: [usize; 2]) -> Self {
        Self { name, tensor_type, shape, values: Values::Weights }
    }

    fn bias(name: String, width: usize) -> Self {
        Self { name, tensor_type: TensorType::F32, shape: [width, 1], values: Values::Weights }
    }

    fn norm(name: String, width: usize) -> Self {
        Self { name, tensor_type: TensorType::F32, shape: [width, 1], values: Values::Norm }
    }

    /// Bytes of data.
    pub fn bytes(&self) -> usize {
        self.tensor_type.row_bytes(self.shape[0]) * self.shape[1]
    }
}

/// Every tensor of `model`, in the order of the file.
pub fn list(model: &Synthetic) -> Vec<Tensor> {
    let shape = &model.shape;
    let vocabulary = [shape.n_embd, shape.n_vocab];
    let mut tensors =
        vec![Tensor::matrix("token_embd.weight".into(), model.embedding_type, vocabulary)];
    for layer in 0..shape.n_layer {
        tensors.extend(norms(shape, layer));
        tensors.extend(projections(shape.family).iter().map(|&projection| {
            Tensor::matrix(
                projection.weight_name(layer),
                model.layer_type,
                widths(shape, projection),
            )
        }));
        if matches!(shape.family, Family::Qwen2 | Family::Qwen2Vl | Family::SeedOss | Family::Glm4)
        {
            tensors.extend([Projection::AttnQ, Projection::AttnK, Projection::AttnV].map(
                |projection| {
                    let [_, n_out] = widths(shape, projection);
                    Tensor::bias(format!("blk.{layer}.{projection}.bias"), n_out)
                },
            ));
        }
    }
    tensors.push(Tensor::norm("output_norm.weight".into(), shape.n_embd));
    if !shape.tied {
        tensors.push(Tensor::matrix("output.weight".into(), model.head_type, vocabulary));
    }
    tensors
}

/// The norms of a layer: before its parts, behind them, of Q and K.
fn norms(shape: &Shape, layer: usize) -> Vec<Tensor> {
    use Family::{Exaone4, Gemma3, Glm4, HunyuanDense, Olmo2, Qwen3, Qwen3Vl, SeedOss};
    let Shape { family, n_embd, head_dim, .. } = *shape;
    let norm = |(name, width)| Tensor::norm(format!("blk.{layer}.{name}.weight"), width);
    let mut norms = match family {
        Olmo2 | Exaone4 => vec![],
        SeedOss => vec![("attn_norm", n_embd), ("post_attention_norm", n_embd)],
        _ => vec![("attn_norm", n_embd), ("ffn_norm", n_embd)],
    };
    if matches!(family, Gemma3 | Glm4 | Olmo2 | Exaone4) {
        norms.extend([("post_attention_norm", n_embd), ("post_ffw_norm", n_embd)]);
    }
    let [q, k] = match family {
        Olmo2 => [shape.n_head, shape.n_head_kv].map(|heads| heads * head_dim),
        _ => [head_dim; 2],
    };
    if matches!(family, Qwen3 | Qwen3Vl | Gemma3 | Olmo2 | Exaone4 | HunyuanDense) {
        norms.extend([("attn_q_norm", q), ("attn_k_norm", k)]);
    }
    norms.into_iter().map(norm).collect()
}

/// The projections of a layer.
fn projections(family: Family) -> &'static [Projection] {
    use Projection::{AttnK, AttnOutput, AttnQ, AttnQkv, AttnV, FfnDown, FfnUp};
    match family {
        Family::Phi3 => &[AttnQkv, AttnOutput, FfnUp, FfnDown],
        Family::Glm4 => &[AttnQ, AttnK, AttnV, AttnOutput, FfnUp, FfnDown],
        _ => &Projection::SEPARATE,
    }
}

/// ne of a projection's matrix.
fn widths(shape: &Shape, projection: Projection) -> [usize; 2] {
    let (q, kv) = (shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim);
    match projection {
        Projection::AttnQ => [shape.n_embd, q],
        Projection::AttnK | Projection::AttnV => [shape.n_embd, kv],
        Projection::AttnQkv => [shape.n_embd, q + 2 * kv],
        Projection::AttnOutput => [q, shape.n_embd],
        Projection::FfnUp if matches!(shape.family, Family::Phi3 | Family::Glm4) => {
            [shape.n_embd, 2 * shape.n_ff]
        }
        Projection::FfnGate | Projection::FfnUp => [shape.n_embd, shape.n_ff],
        Projection::FfnDown => [shape.n_ff, shape.n_embd],
    }
}
