//! The forward pass of one transformer layer, for every family.

use crate::ggml::rope::Rotation;
use crate::ggml::tensor::Tensor;
use crate::model::architecture::Architecture;
use crate::model::layer::Layer;
use crate::model::norm::Norm;
use crate::model::projection::Projection;
use crate::ops::attention::Attention;
use crate::ops::linear::{Linear, Lora};
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Tape, Var};

/// What a layer computes with, beside its input.
pub(super) struct LayerPass<'g> {
    pub ops: &'g dyn Lowering,
    pub shape: &'g Architecture,
    pub layer: &'g Layer,
    pub rotation: Rotation<'g>,
    pub attention: Attention,
    /// The adapters of this layer.
    pub loras: Vec<(Projection, Lora<'g>)>,
}

impl<'g> LayerPass<'g> {
    /// The residual behind this layer, of shape (n_embd, tokens), given the one before it.
    pub fn forward(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let attended = self.attention(tape, x);
        let attended = self.norm(tape, attended, Norm::PostAttention);
        let x = tape.add(attended, x);
        let fed = self.feed_forward(tape, x);
        let fed = self.norm(tape, fed, Norm::PostFfw);
        tape.add(fed, x)
    }

    fn attention(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let (shape, n_tokens) = (self.shape, x.node.ne()[1]);
        let normed = self.norm(tape, x, Norm::Attn);
        let heads = |tape: &mut Tape<'g>, projection, n_head| {
            let y = self.project(tape, normed, projection);
            tape.reshape(y, [shape.head_dim, n_head, n_tokens])
        };
        let q = heads(tape, Projection::AttnQ, shape.n_head);
        let k = heads(tape, Projection::AttnK, shape.n_head_kv);
        let v = heads(tape, Projection::AttnV, shape.n_head_kv);
        let q = self.norm(tape, q, Norm::Q);
        let k = self.norm(tape, k, Norm::K);
        let q = self.ops.rope(tape, q, self.rotation);
        let k = self.ops.rope(tape, k, self.rotation);
        let out = self.ops.attention(tape, [q, k, v], &self.attention);
        self.project(tape, out, Projection::AttnOutput)
    }

    fn feed_forward(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let normed = self.norm(tape, x, Norm::Ffn);
        let gate = self.project(tape, normed, Projection::FfnGate);
        let up = self.project(tape, normed, Projection::FfnUp);
        let inner = self.ops.gated(tape, self.shape.nonlinearity, [gate, up]);
        self.project(tape, inner, Projection::FfnDown)
    }

    fn project(&self, tape: &mut Tape<'g>, x: Var<'g>, projection: Projection) -> Var<'g> {
        let tensors = self.layer.projection(projection);
        let lora = self.loras.iter().find(|(p, _)| *p == projection).map(|(_, lora)| *lora);
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
