//! The norms of a transformer layer.

use crate::model::traits::Traits;

/// A norm of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Before attention.
    Attn,
    /// Before the feed-forward network.
    Ffn,
    /// Of Q.
    Q,
    /// Of K.
    K,
    /// Behind attention, before its sum with the residual.
    PostAttention,
    /// Behind the feed-forward network, before its sum with the residual.
    PostFfw,
}

/// What the norms of Q and K see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadNorm {
    /// Each head, before it is rotated.
    Each,
    /// Each head, rotated.
    EachRotated,
    /// All heads at once, before they are rotated.
    All,
}

impl Norm {
    pub const ALL: [Self; 6] =
        [Self::Attn, Self::Ffn, Self::Q, Self::K, Self::PostAttention, Self::PostFfw];

    /// Its name in a GGUF of the family.
    pub fn tensor_name(self, family: &Traits, layer: usize) -> String {
        let name = match self {
            Self::Attn => "attn_norm",
            Self::Ffn => family.ffn_norm,
            Self::Q => "attn_q_norm",
            Self::K => "attn_k_norm",
            Self::PostAttention => "post_attention_norm",
            Self::PostFfw => "post_ffw_norm",
        };
        format!("blk.{layer}.{name}.weight")
    }
}
