//! What all models of a family have in common: a row of the table in [`crate::model::family`].

use cutq_kernels::Nonlinearity;

use crate::ggml::rope::RopeMode;
use crate::model::norm::{HeadNorm, Norm};
use crate::model::projection::Projection;

/// What all models of a family have in common.
#[derive(Clone, Copy)]
pub(crate) struct Traits {
    /// `general.architecture`.
    pub name: &'static str,
    /// The models that people know.
    pub models: &'static str,
    /// Where layers are in Hugging Face's model.
    pub layers: &'static str,
    pub rope_mode: RopeMode,
    /// Whether llama.cpp's converter reorders the rows of Q and K, so that the halves of a head
    /// that rotate together become neighbours.
    pub permuted: bool,
    /// Which layers rotate Q and K.
    pub rotated: Rotated,
    /// What the feed-forward network applies to its gate.
    pub nonlinearity: Nonlinearity,
    /// The projections of a layer.
    pub projections: &'static [Projection],
    /// Whether only the first dimensions of a head may rotate.
    pub partial: bool,
    /// The norms of a layer.
    pub norms: &'static [Norm],
    /// What a GGUF calls [`Norm::Ffn`].
    pub ffn_norm: &'static str,
    /// What the norms of Q and K see.
    pub head_norm: HeadNorm,
    /// What is multiplied by a constant.
    pub scales: Scales,
    /// Some layers attend to a sliding window only, if the file says how long it is.
    pub windows: Option<Windows>,
}

impl Traits {
    /// A norm's name in a GGUF.
    pub fn norm_name(&self, norm: Norm, layer: usize) -> String {
        let name = if norm == Norm::Ffn { self.ffn_norm } else { norm.name() };
        format!("blk.{layer}.{name}.weight")
    }
}

/// Which layers rotate Q and K.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotated {
    All,
    /// All but every fourth, which no file says.
    ThreeOfFour,
    /// Those with a window; all, if none has one.
    Local,
}

/// What is multiplied by a constant, beside the scores by 1/√head_dim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scales {
    /// Nothing.
    Usual,
    /// Embeddings, by √n_embd.
    Embedding,
    /// Embeddings, what is added to the residual, scores and logits, by what the file says.
    Named,
}

/// Layers with a sliding window, where a file says nothing else.
#[derive(Clone, Copy)]
pub(crate) struct Windows {
    /// Every `period`-th layer sees everything.
    pub period: i64,
    /// Base of the rotary frequencies of the others; `None` for the same in all layers.
    pub freq_base: Option<f32>,
    /// Whether rope scaling applies to them, too.
    pub scaled: bool,
}
