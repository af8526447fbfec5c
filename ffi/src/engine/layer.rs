//! The forward pass of one transformer layer, for every family.

use cutq_kernels::AttentionShape;

use crate::ggml::node::Node;
use crate::ggml::rope::Rotation;
use crate::ggml::tensor::Tensor;
use crate::model::architecture::Architecture;
use crate::model::layer::Layer;
use crate::model::norm::{HeadNorm, Norm};
use crate::model::projection::Projection;
use crate::ops::attention::{Attention, Kept};
use crate::ops::linear::{Linear, Lora};
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Tape, Var};

/// What a layer computes with, beside its input.
pub(super) struct LayerPass<'g> {
    pub ops: &'g dyn Lowering,
    pub shape: &'g Architecture,
    pub layer: &'g Layer,
    /// `None` if the layer does not rotate.
    pub rotation: Option<Rotation<'g>>,
    /// What queries are multiplied by, of shape (1, 1, tokens), if not by 1.
    pub temperature: Option<Node<'g>>,
    pub attention: Attention<'g>,
    /// Where keys and values are kept, if they are.
    pub kept: Option<Kept<'g>>,
    /// The adapters of this layer.
    pub loras: Vec<(Projection, Lora<'g>)>,
}

impl<'g> LayerPass<'g> {
    /// The residual behind this layer, of shape (n_embd, tokens), given the one before it.
    pub fn forward(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let attended = self.attention(tape, x);
        let attended = self.norm(tape, attended, Norm::PostAttention);
        let attended = tape.scale(attended, self.shape.residual_scale);
        let x = tape.add(attended, x);
        let fed = self.feed_forward(tape, x);
        let fed = self.norm(tape, fed, Norm::PostFfw);
        let fed = tape.scale(fed, self.shape.residual_scale);
        tape.add(fed, x)
    }

    fn attention(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let normed = self.norm(tape, x, Norm::Attn);
        let AttentionShape { n_head, n_head_kv, .. } = self.attention.shape;
        let [q, k, v] = self.qkv(tape, normed);
        let q = self.placed(tape, q, n_head, Norm::Q);
        let k = self.placed(tape, k, n_head_kv, Norm::K);
        let v = self.heads(tape, v, n_head_kv);
        let q = match self.temperature {
            Some(temperature) => tape.mul_constant(q, temperature),
            None => q,
        };
        let out = match self.kept {
            None => self.ops.attention(tape, [q, k, v], &self.attention),
            Some(kept) => self.ops.kept_attention(tape, [q, k, v], &self.attention, kept),
        };
        self.project(tape, out, Projection::AttnOutput)
    }

    fn qkv(&self, tape: &mut Tape<'g>, x: Var<'g>) -> [Var<'g>; 3] {
        match self.layer.projection(Projection::AttnQkv) {
            Some(_) => {
                let AttentionShape { n_head, n_head_kv, head_dim, .. } = self.attention.shape;
                let qkv = self.project(tape, x, Projection::AttnQkv);
                tape.split(qkv, [n_head, n_head_kv, n_head_kv].map(|heads| heads * head_dim))
            }
            None => [Projection::AttnQ, Projection::AttnK, Projection::AttnV]
                .map(|projection| self.project(tape, x, projection)),
        }
    }

    /// Q or K, normed and rotated, of shape (head_dim, n_head, tokens).
    fn placed(&self, tape: &mut Tape<'g>, x: Var<'g>, n_head: usize, norm: Norm) -> Var<'g> {
        let seen = self.shape.family.traits().head_norm;
        let normed =
            |tape: &mut Tape<'g>, x, at| if seen == at { self.norm(tape, x, norm) } else { x };
        let x = normed(tape, x, HeadNorm::All);
        let x = self.heads(tape, x, n_head);
        let x = normed(tape, x, HeadNorm::Each);
        let x = match self.rotation {
            Some(rotation) => self.ops.rope(tape, x, rotation),
            None => x,
        };
        normed(tape, x, HeadNorm::EachRotated)
    }

    /// `x` head by head, of shape (head_dim, n_head, tokens).
    fn heads(&self, tape: &mut Tape<'g>, x: Var<'g>, n_head: usize) -> Var<'g> {
        let n_tokens = x.node.ne()[1];
        tape.reshape(x, [self.shape.head_dim, n_head, n_tokens])
    }

    fn feed_forward(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let normed = self.norm(tape, x, Norm::Ffn);
        let inputs = match self.layer.projection(Projection::FfnGate) {
            Some(_) => [Projection::FfnGate, Projection::FfnUp]
                .map(|projection| self.project(tape, normed, projection)),
            None => {
                let both = self.project(tape, normed, Projection::FfnUp);
                tape.split(both, [self.shape.n_ff; 2])
            }
        };
        let inner = self.ops.gated(tape, self.shape.nonlinearity, inputs);
        self.project(tape, inner, Projection::FfnDown)
    }

    fn project(&self, tape: &mut Tape<'g>, x: Var<'g>, projection: Projection) -> Var<'g> {
        let tensors = self.layer.projection(projection).expect("the family has it");
        let lora = self.loras.iter().find(|(p, _)| *p == projection).map(|(_, lora)| lora.clone());
        // Where nothing but a sum follows the last product, no gradient depends on its value.
        let last = projection == Projection::FfnDown;
        let needed = !last || self.layer.norm(Norm::PostFfw).is_some();
        let y = self.ops.linear(tape, x, Linear { weight: &tensors.weight, lora, needed });
        match &tensors.bias {
            Some(bias) => {
                let bias = tape.graph.leaf(bias);
                tape.add_bias(y, bias)
            }
            None => y,
        }
    }

    /// `x` after this norm, where the family has it.
    fn norm(&self, tape: &mut Tape<'g>, x: Var<'g>, norm: Norm) -> Var<'g> {
        match self.layer.norm(norm) {
            Some(weight) => self.rms_norm(tape, x, weight),
            None => x,
        }
    }

    fn rms_norm(&self, tape: &mut Tape<'g>, x: Var<'g>, weight: &'g Tensor) -> Var<'g> {
        let weight = tape.graph.leaf(weight);
        self.ops.rms_norm(tape, x, weight, self.shape.rms_eps)
    }
}
