//! The norms of a transformer layer.

/// A norm of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Before attention.
    Attn,
    /// Before the feed-forward network.
    Ffn,
    /// Of each head of Q.
    Q,
    /// Of each head of K.
    K,
    /// Behind attention, before its sum with the residual.
    PostAttention,
    /// Behind the feed-forward network, before its sum with the residual.
    PostFfw,
}

impl Norm {
    pub const ALL: [Self; 6] =
        [Self::Attn, Self::Ffn, Self::Q, Self::K, Self::PostAttention, Self::PostFfw];

    fn name(self) -> &'static str {
        match self {
            Self::Attn => "attn_norm",
            Self::Ffn => "ffn_norm",
            Self::Q => "attn_q_norm",
            Self::K => "attn_k_norm",
            Self::PostAttention => "post_attention_norm",
            Self::PostFfw => "post_ffw_norm",
        }
    }

    /// Its name in a GGUF.
    pub fn tensor_name(self, layer: usize) -> String {
        format!("blk.{layer}.{}.weight", self.name())
    }
}
