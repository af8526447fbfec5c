//! The shapes that synthetic models can have.

use cutq_ffi::{Family, GgufHeader};

/// Sizes of a model, by llama.cpp's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// The family.
    pub family: Family,
    /// Transformer layers.
    pub n_layer: usize,
    /// Width of the residual.
    pub n_embd: usize,
    /// Width of the feed-forward network.
    pub n_ff: usize,
    /// Attention heads.
    pub n_head: usize,
    /// Heads of K and V.
    pub n_head_kv: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Entries of the vocabulary.
    pub n_vocab: usize,
    /// Tokens that it claims to hold.
    pub n_ctx: usize,
    /// Base of the rotary frequencies.
    pub rope_freq_base: f32,
    /// The head is the token embedding.
    pub tied: bool,
}

/// The shapes of models that people know, by name; `tiny` is for tests.
pub const PRESETS: [(&str, Shape); 7] = [
    ("tiny", TINY),
    ("smollm2-135m", SMOLLM2_135M),
    ("gemma3-270m", GEMMA3_270M),
    ("qwen2.5-1.5b", QWEN2_5_1_5B),
    ("llama3-8b", LLAMA3_8B),
    ("llama2-13b", LLAMA2_13B),
    ("llama3-70b", LLAMA3_70B),
];

/// Every width is a whole number of the largest blocks, so that it can be of any type.
const TINY: Shape = Shape {
    family: Family::Llama,
    n_layer: 2,
    n_embd: 256,
    n_ff: 512,
    n_head: 4,
    n_head_kv: 2,
    head_dim: 64,
    n_vocab: 320,
    n_ctx: 128,
    rope_freq_base: 10_000.0,
    tied: false,
};

const SMOLLM2_135M: Shape = Shape {
    family: Family::Llama,
    n_layer: 30,
    n_embd: 576,
    n_ff: 1536,
    n_head: 9,
    n_head_kv: 3,
    head_dim: 64,
    n_vocab: 49_152,
    n_ctx: 8192,
    rope_freq_base: 100_000.0,
    tied: true,
};

const GEMMA3_270M: Shape = Shape {
    family: Family::Gemma3,
    n_layer: 18,
    n_embd: 640,
    n_ff: 2048,
    n_head: 4,
    n_head_kv: 1,
    head_dim: 256,
    n_vocab: 262_144,
    n_ctx: 32_768,
    rope_freq_base: 1e6,
    tied: true,
};

const QWEN2_5_1_5B: Shape = Shape {
    family: Family::Qwen2,
    n_layer: 28,
    n_embd: 1536,
    n_ff: 8960,
    n_head: 12,
    n_head_kv: 2,
    head_dim: 128,
    n_vocab: 151_936,
    n_ctx: 32_768,
    rope_freq_base: 1e6,
    tied: true,
};

const LLAMA3_8B: Shape = Shape {
    family: Family::Llama,
    n_layer: 32,
    n_embd: 4096,
    n_ff: 14_336,
    n_head: 32,
    n_head_kv: 8,
    head_dim: 128,
    n_vocab: 128_256,
    n_ctx: 8192,
    rope_freq_base: 500_000.0,
    tied: false,
};

const LLAMA2_13B: Shape = Shape {
    family: Family::Llama,
    n_layer: 40,
    n_embd: 5120,
    n_ff: 13_824,
    n_head: 40,
    n_head_kv: 40,
    head_dim: 128,
    n_vocab: 32_000,
    n_ctx: 4096,
    rope_freq_base: 10_000.0,
    tied: false,
};

const LLAMA3_70B: Shape =
    Shape { n_layer: 80, n_embd: 8192, n_ff: 28_672, n_head: 64, ..LLAMA3_8B };

/// The shape of that name.
pub fn preset(name: &str) -> Option<Shape> {
    PRESETS.iter().find(|preset| preset.0 == name).map(|preset| preset.1)
}

impl Shape {
    /// Adds the metadata of a model of this shape.
    pub fn describe(&self, header: &mut GgufHeader) {
        let prefix = self.family.name();
        header.str("general.architecture", prefix);
        header.str("general.name", "random weights");
        let sizes = [
            ("block_count", self.n_layer),
            ("embedding_length", self.n_embd),
            ("feed_forward_length", self.n_ff),
            ("attention.head_count", self.n_head),
            ("attention.head_count_kv", self.n_head_kv),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
            ("rope.dimension_count", self.n_rot()),
            ("context_length", self.n_ctx),
            ("vocab_size", self.n_vocab),
        ];
        for (key, size) in sizes {
            header.u32(&format!("{prefix}.{key}"), size as u32);
        }
        header.f32(&format!("{prefix}.attention.layer_norm_rms_epsilon"), 1e-5);
        header.f32(&format!("{prefix}.rope.freq_base"), self.rope_freq_base);
        self.describe_family(header);
        // With this word llama.cpp runs a model that has no vocabulary.
        header.str("tokenizer.ggml.model", "none");
    }

    /// Dimensions of a head that rotate.
    fn n_rot(&self) -> usize {
        if self.family == Family::Glm4 { self.head_dim / 2 } else { self.head_dim }
    }

    /// Adds what only files of this family have.
    fn describe_family(&self, header: &mut GgufHeader) {
        let prefix = self.family.name();
        let mut float = |key: &str, value| header.f32(&format!("{prefix}.{key}"), value);
        match self.family {
            Family::Gemma3 | Family::Olmo2 | Family::Exaone4 => {
                header.u32(&format!("{prefix}.attention.sliding_window"), 512);
            }
            Family::Mistral3 => {
                float("rope.scaling.factor", 16.0);
                float("rope.scaling.yarn_log_multiplier", 1.0);
                float("attention.temperature_scale", 0.1);
                header.str("mistral3.rope.scaling.type", "yarn");
                header.u32("mistral3.rope.scaling.original_context_length", 64);
            }
            Family::Granite => {
                float("embedding_scale", 2.0);
                float("residual_scale", 0.5);
                float("attention.scale", 0.2);
                float("logit_scale", 0.5);
            }
            Family::Qwen2Vl | Family::Qwen3Vl => {
                let [most, rest] = [4, 8].map(|part| (self.head_dim / part) as i32);
                header.i32s(&format!("{prefix}.rope.dimension_sections"), &[most, rest, rest, 0]);
            }
            _ => (),
        }
    }
}
