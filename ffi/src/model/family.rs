//! Model families, and what tells one from another: one executor serves them all.

use cutq_kernels::Nonlinearity;

use crate::ggml::rope::RopeMode;
use crate::model::norm::{HeadNorm, Norm};
use crate::model::projection::Projection;
use crate::model::traits::{Rotated, Scales, Traits, Windows};

/// Model families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3, SmolLM2, Mistral, TinyLlama.
    Llama,
    /// Ministral 3, Mistral Small 3: YaRN, queries that grow with their position.
    Mistral3,
    /// Qwen2 and Qwen2.5: Q, K and V have a bias.
    Qwen2,
    /// The text model of Qwen2-VL and Qwen2.5-VL.
    Qwen2Vl,
    /// Qwen3: norms on Q and K.
    Qwen3,
    /// The text model of Qwen3-VL.
    Qwen3Vl,
    /// Gemma: scaled embeddings, GELU.
    Gemma,
    /// Gemma 3: norms around every part, norms on Q and K, GELU, sliding windows.
    Gemma3,
    /// Granite 3, dense: scales of embeddings, residual, scores and logits.
    Granite,
    /// SmolLM3: every fourth layer does not rotate.
    SmolLm3,
    /// OLMo 2 and OLMo 3: norms behind every part, norms over all of Q and K, sliding windows.
    Olmo2,
    /// EXAONE 4: norms behind every part, norms on Q and K; layers without a window do not rotate.
    Exaone4,
    /// Seed-OSS: Q, K and V have a bias.
    SeedOss,
    /// ERNIE 4.5, dense.
    Ernie45,
    /// Hunyuan, dense: norms on rotated Q and K.
    HunyuanDense,
    /// Phi 3 and 4: Q, K and V in one matrix, gate and up in another.
    Phi3,
    /// GLM 4: gate and up in one matrix, norms around every part, half of a head rotates.
    Glm4,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 17] = [
        Self::Llama,
        Self::Mistral3,
        Self::Qwen2,
        Self::Qwen2Vl,
        Self::Qwen3,
        Self::Qwen3Vl,
        Self::Gemma,
        Self::Gemma3,
        Self::Granite,
        Self::SmolLm3,
        Self::Olmo2,
        Self::Exaone4,
        Self::SeedOss,
        Self::Ernie45,
        Self::HunyuanDense,
        Self::Phi3,
        Self::Glm4,
    ];

    pub(crate) const fn traits(self) -> Traits {
        use Norm::{Attn, Ffn, K, PostAttention, PostFfw, Q};
        use Projection::{AttnK, AttnOutput, AttnQ, AttnQkv, AttnV, FfnDown, FfnUp};
        let llama = Traits {
            name: "llama",
            models: "Llama 1 to 3, SmolLM2, Mistral, TinyLlama",
            layers: "model.layers",
            rope_mode: RopeMode::Norm,
            permuted: true,
            rotated: Rotated::All,
            nonlinearity: Nonlinearity::Silu,
            projections: &Projection::SEPARATE,
            partial: false,
            norms: &[Attn, Ffn],
            ffn_norm: "ffn_norm",
            head_norm: HeadNorm::Each,
            scales: Scales::Usual,
            windows: None,
        };
        let neox = Traits { rope_mode: RopeMode::Neox, permuted: false, ..llama };
        let qwen3 = Traits { name: "qwen3", models: "Qwen3", norms: &[Attn, Ffn, Q, K], ..neox };
        let vision = "model.language_model.layers";
        let gemma = Traits {
            name: "gemma",
            models: "Gemma",
            nonlinearity: Nonlinearity::Gelu,
            scales: Scales::Embedding,
            ..neox
        };
        let olmo2 = Traits {
            name: "olmo2",
            models: "OLMo 2, OLMo 3",
            norms: &[Q, K, PostAttention, PostFfw],
            head_norm: HeadNorm::All,
            windows: Some(Windows { period: 4, freq_base: None, scaled: false }),
            ..neox
        };
        match self {
            Self::Llama => llama,
            Self::Mistral3 => {
                Traits { name: "mistral3", models: "Ministral 3, Mistral Small 3", ..llama }
            }
            Self::Qwen2 => Traits { name: "qwen2", models: "Qwen2, Qwen2.5", ..neox },
            Self::Qwen2Vl => Traits {
                name: "qwen2vl",
                models: "Qwen2-VL, Qwen2.5-VL: text",
                layers: vision,
                ..neox
            },
            Self::Qwen3 => qwen3,
            Self::Qwen3Vl => {
                Traits { name: "qwen3vl", models: "Qwen3-VL: text", layers: vision, ..qwen3 }
            }
            Self::Gemma => gemma,
            Self::Gemma3 => Traits {
                name: "gemma3",
                models: "Gemma 3",
                norms: &Norm::ALL,
                windows: Some(Windows { period: 6, freq_base: Some(10_000.0), scaled: false }),
                ..gemma
            },
            Self::Granite => Traits {
                name: "granite",
                models: "Granite 3, dense",
                scales: Scales::Named,
                ..llama
            },
            Self::SmolLm3 => Traits {
                name: "smollm3",
                models: "SmolLM3",
                rotated: Rotated::ThreeOfFour,
                ..llama
            },
            Self::Olmo2 => olmo2,
            Self::Exaone4 => Traits {
                name: "exaone4",
                models: "EXAONE 4",
                head_norm: HeadNorm::Each,
                rotated: Rotated::Local,
                windows: Some(Windows { period: 4, freq_base: None, scaled: true }),
                ..olmo2
            },
            Self::SeedOss => Traits {
                name: "seed_oss",
                models: "Seed-OSS",
                ffn_norm: "post_attention_norm",
                ..neox
            },
            Self::Ernie45 => {
                Traits { name: "ernie4_5", models: "ERNIE 4.5, dense", permuted: false, ..llama }
            }
            Self::HunyuanDense => Traits {
                name: "hunyuan-dense",
                models: "Hunyuan, dense",
                head_norm: HeadNorm::EachRotated,
                ..qwen3
            },
            Self::Phi3 => Traits {
                name: "phi3",
                models: "Phi 3, Phi 4",
                projections: &[AttnQkv, AttnOutput, FfnUp, FfnDown],
                partial: true,
                windows: Some(Windows { period: 0, freq_base: None, scaled: true }),
                ..neox
            },
            Self::Glm4 => Traits {
                name: "glm4",
                models: "GLM 4",
                permuted: false,
                projections: &[AttnQ, AttnK, AttnV, AttnOutput, FfnUp, FfnDown],
                partial: true,
                norms: &[Attn, Ffn, PostAttention, PostFfw],
                ..llama
            },
        }
    }

    /// `general.architecture` in its files.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// The models of it that people know.
    pub fn models(self) -> &'static str {
        self.traits().models
    }

    /// The models on which tests compare it with PyTorch and llama.cpp.
    pub fn checked_on(self) -> Vec<&'static str> {
        let real = match self {
            Self::Llama => Some("SmolLM2 135M"),
            Self::Qwen2 => Some("Qwen2.5-Coder 1.5B"),
            Self::Gemma3 => Some("Gemma 3 270M"),
            _ => None,
        };
        std::iter::once("a tiny model").chain(real).collect()
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
