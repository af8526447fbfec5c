//! Golden values of one CUT step, made by PyTorch (`tests/fixtures/golden.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cutq_ffi::{Adapter, Architecture, Gguf, LoraConfig, Projection};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::Deserialize;

/// What PyTorch computed for one model: see the head of `golden.py` for the exact meaning.
#[derive(Debug, Deserialize)]
pub struct Golden {
    /// File name of the GGUF model.
    pub model: String,
    /// The adapter; its weights come from [`lora_tensor`].
    pub lora: Lora,
    /// The objective's options.
    pub objective: Options,
    /// Mean of the examples' losses, nats.
    pub loss: f64,
    /// Euclidean norm of the batch loss's gradient by every LoRA tensor.
    pub grad_norm: BTreeMap<String, f64>,
    /// Ten steps of AdamW from the same adapter.
    pub adamw: AdamW,
    /// The batch.
    pub examples: Vec<Example>,
    /// For `attn_q` and `attn_k` of a family, the row of the GGUF that is each row of PyTorch's.
    #[serde(default)]
    pub rows: BTreeMap<String, Vec<usize>>,
    /// Gradients of the first, middle and last layer, or of all; row-major as in PyTorch.
    #[serde(skip)]
    pub grads: BTreeMap<String, Gradient>,
}

/// Shape of the adapter.
#[derive(Debug, Deserialize)]
pub struct Lora {
    /// Rank.
    pub r: usize,
    /// Numerator of the scaling `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Names of the adapted projections, as in the GGUF.
    pub target_modules: Vec<String>,
}

/// Options of the CUT objective.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// λ.
    pub threshold: f64,
    /// α.
    pub weight_unlike: f64,
    /// γ.
    pub focal_gamma: f64,
}

/// A run of AdamW over the whole batch, betas (0.9, 0.999), eps 1e-8, no clipping.
#[derive(Debug, Deserialize)]
pub struct AdamW {
    /// Learning rate, constant.
    pub lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Batch loss before each step, nats; U is chosen again in every step.
    pub losses: Vec<f64>,
}

/// One example: its text, its tokens and what PyTorch says of them.
#[derive(Debug, Deserialize)]
pub struct Example {
    /// What is asked.
    pub instruction: String,
    /// Appended to the instruction after a newline where it is not empty.
    pub input: String,
    /// The response.
    pub output: String,
    /// The criticism; `None` for a positive example.
    pub judgment: Option<String>,
    /// The paper's plain template, BOS first where the model wants one.
    pub prompt_tokens: Vec<u32>,
    /// The paper's judged template.
    pub judged_prompt_tokens: Option<Vec<u32>>,
    /// `(T,)`, EOS included.
    pub response_tokens: Vec<u32>,
    /// `(T,)`, nats, in the plain context.
    pub log_probs_plain: Vec<f64>,
    /// `(T,)`, nats, in the judged context.
    pub log_probs_judged: Option<Vec<f64>>,
    /// U: positions in the response.
    pub inappropriate: Vec<usize>,
    /// Likelihood and unlikelihood in the plain context; 0 for a positive example.
    pub l1: f64,
    /// Likelihood in the judged context, or in the plain one for a positive example.
    pub l2: f64,
    /// `l1 + l2`.
    pub loss: f64,
}

/// Gradient of the batch loss by one LoRA tensor.
#[derive(Debug)]
pub struct Gradient {
    /// `[rows, columns]`: `[r, n_in]` for lora_a, `[n_out, r]` for lora_b.
    pub shape: [usize; 2],
    /// Row-major.
    pub values: Vec<f32>,
}

impl Golden {
    /// Reads `tests/fixtures/NAME`, NAME being smollm2, gemma3, qwen2, or families/FAMILY.
    ///
    /// # Panics
    /// If a file is missing or is not what `golden.py` writes: a fixture that cannot be read is a
    /// failed test.
    pub fn read(name: &str) -> Self {
        let folder = fixtures().join(name);
        let mut golden: Golden = serde_json::from_slice(&read(&folder.join("golden.json")))
            .unwrap_or_else(|error| panic!("{name}/golden.json: {error}"));
        golden.grads = read_gradients(&folder.join("grads.safetensors"));
        golden
    }

    /// The adapter that they were computed with.
    ///
    /// # Panics
    /// If the model is not one that can be trained.
    pub fn adapter(&self, model: &Gguf) -> Adapter {
        let architecture = Architecture::from_gguf(model).expect("the model is supported");
        let names = self.lora.target_modules.join(",");
        let config = LoraConfig {
            r: self.lora.r,
            lora_alpha: self.lora.lora_alpha,
            lora_dropout: 0.0,
            target_modules: Projection::parse_list(&names).expect("known projections"),
        };
        let mut adapter = Adapter::init(model, &architecture, config, 0);
        for pair in &mut adapter.pairs {
            pair.a = lora_tensor(&pair.name_a(), [self.lora.r, pair.n_in]);
            pair.b = lora_tensor(&pair.name_b(), [pair.n_out, self.lora.r]);
        }
        adapter
    }
}

/// `tests/fixtures`.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_gradients(path: &Path) -> BTreeMap<String, Gradient> {
    let bytes = read(path);
    let tensors = SafeTensors::deserialize(&bytes)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    tensors
        .iter()
        .map(|(name, tensor)| {
            assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
            let shape = tensor.shape().try_into().expect("golden.py writes matrices");
            let (chunks, rest) = tensor.data().as_chunks::<4>();
            assert!(rest.is_empty(), "{name}");
            let values = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
            (name.to_owned(), Gradient { shape, values })
        })
        .collect()
}

/// The weights of a LoRA tensor, `shape = [rows, columns]`, row-major.
///
/// `out[i] = scale * lora_value(name, i)`, with `scale = 2 / sqrt(columns)` for `…lora_a`
/// (`[r, n_in]`) and `0.05` for `…lora_b` (`[n_out, r]`). The same bits as in `golden.py`.
pub fn lora_tensor(name: &str, shape: [usize; 2]) -> Vec<f32> {
    let scale = if name.ends_with("lora_a") { 2.0 / (shape[1] as f64).sqrt() } else { 0.05 } as f32;
    (0..shape[0] * shape[1]).map(|i| scale * lora_value(name, i as u64)).collect()
}

/// Value `i` of the noise called `name`, in `-0.5..0.5`.
///
/// `(splitmix64(fnv1a64(name) + i) >> 40) / 2^24 - 0.5`: 24 bits, so exact in `f32`.
pub fn lora_value(name: &str, i: u64) -> f32 {
    let bits = splitmix64(fnv1a64(name).wrapping_add(i)) >> 40;
    bits as f32 / (1u32 << 24) as f32 - 0.5
}

fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn splitmix64(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected bits are what `lora_weight` of golden.py printed.
    #[test]
    fn lora_weights_are_those_of_python() {
        let a = lora_tensor("blk.0.attn_q.weight.lora_a", [4, 576]);
        assert_eq!([0, 1, 2303].map(|i| a[i].to_bits()), [0x3cb9_b11e, 0x3d23_86e0, 0x3cfe_e5e3]);
        let b = lora_tensor("blk.29.ffn_down.weight.lora_b", [576, 4]);
        assert_eq!([0, 1, 2303].map(|i| b[i].to_bits()), [0xbccb_6c98, 0x3c5e_d4b3, 0xbcc1_6c17]);
    }

    #[test]
    fn every_fixture_is_consistent() {
        for name in ["smollm2", "gemma3", "qwen2"] {
            let golden = Golden::read(name);
            let mean = golden.examples.iter().map(|example| example.loss).sum::<f64>()
                / golden.examples.len() as f64;
            assert!((golden.loss - mean).abs() < 1e-9, "{name}: {} is not {mean}", golden.loss);
            // Three layers, seven projections, lora_a and lora_b.
            assert_eq!(golden.grads.len(), 3 * 7 * 2, "{name}");
            for (tensor, gradient) in &golden.grads {
                let sum = gradient.values.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
                let norm = golden.grad_norm[tensor];
                assert!((sum.sqrt() / norm - 1.0).abs() < 1e-6, "{name} {tensor}: {norm}");
                assert_eq!(gradient.shape[0] * gradient.shape[1], gradient.values.len());
            }
            for example in &golden.examples {
                assert_eq!(example.judgment.is_some(), example.judged_prompt_tokens.is_some());
                assert_eq!(example.response_tokens.len(), example.log_probs_plain.len());
            }
        }
    }
}
