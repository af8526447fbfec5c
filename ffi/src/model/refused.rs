//! Families that are not computed here, and what is missing.

const EXPERTS: &str = "a mixture of experts";
const STATES: &str = "state-space layers";
const LAYER_NORM: &str = "LayerNorm";
const DELTA: &str = "the gated delta rule";
const LATENT: &str = "latent attention";
const FUSED: &str = "matrices of several projections in one";
const SHARED: &str = "K and V that layers share, or shapes that differ between layers";

const FAMILIES: [(&str, &[&str]); 12] = [
    (
        EXPERTS,
        &[
            "arctic",
            "bailingmoe",
            "bailingmoe2",
            "dots1",
            "ernie4_5-moe",
            "exaone-moe",
            "glm4moe",
            "gpt-oss",
            "granitemoe",
            "grok",
            "grovemoe",
            "hunyuan-moe",
            "lfm2moe",
            "llada-moe",
            "minimax-m2",
            "olmoe",
            "phimoe",
            "qwen2moe",
            "qwen3moe",
            "qwen3vlmoe",
            "smallthinker",
        ],
    ),
    (
        STATES,
        &[
            "falcon-h1",
            "granitehybrid",
            "jamba",
            "mamba",
            "mamba2",
            "nemotron_h",
            "nemotron_h_moe",
            "plamo2",
            "rwkv6",
            "rwkv6qwen2",
            "rwkv7",
            "arwkv7",
        ],
    ),
    (
        LAYER_NORM,
        &[
            "bloom",
            "codeshell",
            "cohere2",
            "command-r",
            "dbrx",
            "falcon",
            "gpt2",
            "gptj",
            "gptneox",
            "jais",
            "mpt",
            "nemotron",
            "olmo",
            "orion",
            "phi2",
            "refact",
            "stablelm",
            "starcoder",
            "starcoder2",
        ],
    ),
    (DELTA, &["kimi-linear", "qwen35", "qwen35moe", "qwen3next"]),
    (LATENT, &["deepseek2", "minicpm3", "plm"]),
    ("chunked attention and a mixture of experts", &["llama4"]),
    (FUSED, &["chatglm"]),
    (SHARED, &["gemma3n", "gemma4"]),
    ("soft caps on scores and logits", &["gemma2"]),
    ("short convolutions", &["lfm2"]),
    ("attention to later tokens", &["dream", "llada", "rnd1"]),
    ("an encoder", &["t5", "t5encoder"]),
];

/// What is missing here, and the families that have it, by `general.architecture`.
pub fn refused_families() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    FAMILIES.into_iter()
}

/// What a family has that is not computed here, if it is known.
pub(crate) fn missing(name: &str) -> Option<&'static str> {
    refused_families().find(|(_, names)| names.contains(&name)).map(|(what, _)| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::family::Family;

    #[test]
    fn no_family_is_both_known_and_refused() {
        let mut names: Vec<_> = refused_families().flat_map(|(_, names)| names).copied().collect();
        names.extend(Family::ALL.map(Family::name));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(missing("deepseek2"), Some("latent attention"));
    }
}
