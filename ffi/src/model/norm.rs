//! The norms of a transformer layer.

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

    /// What most families' files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attn => "attn_norm",
            Self::Ffn => "ffn_norm",
            Self::Q => "attn_q_norm",
            Self::K => "attn_k_norm",
            Self::PostAttention => "post_attention_norm",
            Self::PostFfw => "post_ffw_norm",
        }
    }
}
