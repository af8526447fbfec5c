//! One transformer block, for every family.

use std::rc::Rc;

use crate::ggml::graph::{Node, Rotation};
use crate::model::architecture::Architecture;
use crate::model::projection::Module;
use crate::ops::kernels::product::{Frozen, Products};
use crate::ops::tape::{Tape, Var};
use crate::ops::{Attention, Lora};
use crate::residency::weights::Layer;

/// What a block computes with, beside its input.
pub(crate) struct Block<'g> {
    pub architecture: &'g Architecture,
    pub layer: &'g Layer,
    pub products: Rc<Products<'g>>,
    pub rotation: Rotation<'g>,
    pub attention: Attention,
    /// The adapters of this block.
    pub loras: Vec<(Module, Lora<'g>)>,
}

impl<'g> Block<'g> {
    /// The residual stream after this block, of shape (n_embd, tokens), given the one before it.
    pub fn forward(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let gemma = self.layer.gemma.as_ref();
        let attended = self.attention(tape, x);
        let attended = self.optional_norm(tape, attended, gemma.map(|n| &n.post_attention));
        let x = tape.add(attended, x);
        let fed = self.feed_forward(tape, x);
        let fed = self.optional_norm(tape, fed, gemma.map(|n| &n.post_ffw));
        tape.add(fed, x)
    }

    fn attention(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let (shape, gemma) = (self.architecture, self.layer.gemma.as_ref());
        let n_tokens = x.node.ne()[1];
        let normed = self.norm(tape, x, &self.layer.attn_norm);
        let heads = |tape: &mut Tape<'g>, module, n_head| {
            let y = self.project(tape, normed, module);
            tape.reshape(y, [shape.head_dim, n_head, n_tokens])
        };
        let q = heads(tape, Module::AttnQ, shape.n_head);
        let k = heads(tape, Module::AttnK, shape.n_head_kv);
        let v = heads(tape, Module::AttnV, shape.n_head_kv);
        let q = self.optional_norm(tape, q, gemma.map(|n| &n.q));
        let k = self.optional_norm(tape, k, gemma.map(|n| &n.k));
        let q = tape.rope(q, self.rotation);
        let k = tape.rope(k, self.rotation);
        let out = tape.attention([q, k, v], &self.attention);
        self.project(tape, out, Module::AttnOutput)
    }

    fn feed_forward(&self, tape: &mut Tape<'g>, x: Var<'g>) -> Var<'g> {
        let normed = self.norm(tape, x, &self.layer.ffn_norm);
        let gate = self.project(tape, normed, Module::FfnGate);
        let up = self.project(tape, normed, Module::FfnUp);
        let inner = tape.gated(self.architecture.activation, gate, up);
        self.project(tape, inner, Module::FfnDown)
    }

    fn project(&self, tape: &mut Tape<'g>, x: Var<'g>, module: Module) -> Var<'g> {
        let projection = self.layer.projection(module);
        let weight = Frozen::new(&projection.weight, &self.products);
        let lora = self.loras.iter().find(|(m, _)| *m == module).map(|(_, lora)| *lora);
        // Where nothing but a sum follows the last product, no gradient depends on its value.
        let needed = module != Module::FfnDown || self.layer.gemma.is_some();
        let y = tape.linear(x, &weight, lora, needed);
        match &projection.bias {
            Some(bias) => {
                let bias = tape.graph.leaf(bias);
                tape.add_bias(y, bias)
            }
            None => y,
        }
    }

    fn norm(
        &self,
        tape: &mut Tape<'g>,
        x: Var<'g>,
        weight: &'g crate::ggml::buffer::Tensor,
    ) -> Var<'g> {
        let weight: Node<'g> = tape.graph.leaf(weight);
        tape.rms_norm(x, weight, self.architecture.rms_eps)
    }

    fn optional_norm(
        &self,
        tape: &mut Tape<'g>,
        x: Var<'g>,
        weight: Option<&'g crate::ggml::buffer::Tensor>,
    ) -> Var<'g> {
        match weight {
            Some(weight) => self.norm(tape, x, weight),
            None => x,
        }
    }
}
