//! The head: final norm, and the log-softmax of the logits, at target positions only.

use std::rc::Rc;

use crate::ggml::backend::Backend;
use crate::ggml::node::Node;
use crate::model::layer::HeadTensors;
use crate::ops::tape::{Tape, Var};

/// The head of a model, for a pack.
pub(crate) struct Head<'a> {
    pub backend: &'a Backend,
    pub tensors: Rc<HeadTensors>,
    pub rms_eps: f32,
    /// Logits are multiplied by this.
    pub logit_scale: f32,
    /// Tokens of the pack.
    pub n_tokens: usize,
    /// For each target, in order: where it is predicted, and the token itself.
    pub targets: &'a [(usize, u32)],
}

/// Some rows of the residual, on their way to their logits.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'g> {
    pub residual: Var<'g>,
    pub normed: Var<'g>,
}

impl Head<'_> {
    /// Width of the residual.
    pub fn n_embd(&self) -> usize {
        self.tensors.weight.data.n_in
    }

    /// Entries of the vocabulary.
    pub fn n_vocab(&self) -> usize {
        self.tensors.weight.data.n_out
    }

    /// Rows `positions` of the residual, of shape (n_embd, tokens), before and after the final
    /// norm, which takes the logits' scale, too: `norm` is the lowering's, of a value, a weight and an epsilon.
    pub fn rows<'g>(
        &'g self,
        tape: &mut Tape<'g>,
        residual: Node<'g>,
        positions: impl Iterator<Item = usize>,
        norm: impl FnOnce(&mut Tape<'g>, Var<'g>, Node<'g>, f32) -> Var<'g>,
    ) -> Rows<'g> {
        let graph = tape.graph;
        let index: Vec<i32> = positions.map(|position| position as i32).collect();
        let index = graph.input([index.len(), 1], index);
        let residual = tape.parameter(graph.rows(residual, index));
        let weight = graph.leaf(&self.tensors.norm);
        let normed = norm(tape, residual, weight, self.rms_eps);
        Rows { residual, normed: tape.scale(normed, self.logit_scale) }
    }
}
