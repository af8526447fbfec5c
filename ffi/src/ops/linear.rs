//! A frozen projection with its LoRA adapter.

use cutq_kernels::{Dropout, LoraShape};

use crate::ggml::node::Node;
use crate::model::weight::Weight;
use crate::ops::tape::Var;

/// What a projection computes with beside its input.
pub(crate) struct Linear<'g> {
    /// W, of ne = (in, out).
    pub weight: &'g Weight,
    pub lora: Option<Lora<'g>>,
    /// Whether the backward pass reads the result.
    pub needed: bool,
}

/// The trainable pair beside a frozen weight.
#[derive(Clone)]
pub(crate) struct Lora<'g> {
    /// A, of ne = (in, r).
    pub a: Var<'g>,
    /// B, of ne = (r, out).
    pub b: Var<'g>,
    /// `lora_alpha / r`.
    pub scaling: f32,
    /// What is dropped of the adapter's input.
    pub dropout: Option<LoraDropout<'g>>,
}

/// What is dropped of the input of an adapter.
#[derive(Clone)]
pub(crate) struct LoraDropout<'g> {
    pub mask: Dropout,
    /// The factors that the mask is cut out of, where the lowering cannot hash.
    pub pool: Option<Node<'g>>,
}

impl Lora<'_> {
    /// The shape of the adapter's products with `x`. The kernels trust their pointers, so the
    /// shapes are checked once, here.
    pub fn shape(&self, x: Node<'_>) -> LoraShape {
        let ([n_in, r, ..], [_, n_out, ..]) = (self.a.node.ne(), self.b.node.ne());
        let n_tokens = x.ne()[1];
        assert_eq!(self.b.node.ne(), [r, n_out, 1, 1]);
        assert!(x.is_contiguous() && x.ne() == [n_in, n_tokens, 1, 1], "{:?} for A", x.ne());
        let dropout = self.dropout.as_ref().map(|dropout| dropout.mask.clone());
        LoraShape { n_tokens, n_in, n_out, r, scaling: self.scaling, dropout }
    }
}
