//! Model families, and what tells one from another: one executor serves them all.

use cutq_kernels::Nonlinearity;

use crate::ggml::rope::RopeMode;
use crate::model::norm::Norm;

/// Model families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3, SmolLM2, Mistral, TinyLlama.
    Llama,
    /// Qwen2 and Qwen2.5: Q, K and V have a bias.
    Qwen2,
    /// Qwen3: norms on Q and K.
    Qwen3,
    /// Gemma 3: norms around every part, norms on Q and K, GELU, sliding windows.
    Gemma3,
}

/// What all models of a family have in common.
pub(crate) struct Traits {
    /// `general.architecture`.
    pub name: &'static str,
    pub rope_mode: RopeMode,
    /// What the feed-forward network applies to its gate.
    pub nonlinearity: Nonlinearity,
    /// The norms of a layer.
    pub norms: &'static [Norm],
    /// Whether embeddings are multiplied by √n_embd.
    pub scaled_embedding: bool,
    /// Whether some layers attend to a sliding window only, if the file says how long it is.
    pub windows: bool,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma3];

    pub(crate) const fn traits(self) -> Traits {
        let llama = Traits {
            name: "llama",
            rope_mode: RopeMode::Norm,
            nonlinearity: Nonlinearity::Silu,
            norms: &[Norm::Attn, Norm::Ffn],
            scaled_embedding: false,
            windows: false,
        };
        match self {
            Self::Llama => llama,
            Self::Qwen2 => Traits { name: "qwen2", rope_mode: RopeMode::Neox, ..llama },
            Self::Qwen3 => Traits {
                name: "qwen3",
                rope_mode: RopeMode::Neox,
                norms: &[Norm::Attn, Norm::Ffn, Norm::Q, Norm::K],
                ..llama
            },
            Self::Gemma3 => Traits {
                name: "gemma3",
                rope_mode: RopeMode::Neox,
                nonlinearity: Nonlinearity::Gelu,
                norms: &Norm::ALL,
                scaled_embedding: true,
                windows: true,
            },
        }
    }

    /// `general.architecture` in its files.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// The family of this `general.architecture`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// Their names, by comma.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}
