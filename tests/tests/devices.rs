//! Every way of computing gives what the CPU's kernels give: log-probabilities and gradients of
//! made-up models of every family and type, and of sequences longer than one tile of attention.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use cutq_core::model::{Mode, Model, Sequence};
use cutq_ffi::{
    Adapter, Architecture, Engine, EngineOptions, Family, Gguf, LoraConfig, Module, Precision,
    TensorType,
};
use cutq_tests::computing::Computing;
use cutq_tests::synthetic::{Shape, Synthetic, preset};
use cutq_tests::tolerance::{F32_COSINE, F32_LOG_PROB};

const FAMILIES: [Family; 3] = [Family::Llama, Family::Qwen2, Family::Gemma3];

/// Tokens of two sequences; the first sees more than Gemma's window and attention's tile.
const LONG: [usize; 2] = [700, 90];
const SHORT: [usize; 2] = [25, 15];

#[test]
fn portable_operations_compute_every_family() {
    every_family(Computing::Portable);
}

#[test]
fn portable_operations_compute_every_type() {
    every_type(Computing::Portable);
}

#[test]
fn portable_operations_compute_the_same_with_kept_products() {
    kept_products(Computing::Portable);
}

#[cfg(feature = "vulkan")]
mod vulkan {
    use super::*;

    #[test]
    fn vulkan_computes_every_family() {
        every_family(Computing::Device("Vulkan"));
    }

    #[test]
    fn vulkan_computes_every_type() {
        every_type(Computing::Device("Vulkan"));
    }

    #[test]
    fn vulkan_computes_the_same_with_kept_products() {
        kept_products(Computing::Device("Vulkan"));
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::*;

    #[test]
    fn cuda_computes_every_family() {
        every_family(Computing::Device("CUDA"));
    }

    #[test]
    fn cuda_computes_the_same_with_kept_products() {
        kept_products(Computing::Device("CUDA"));
    }
}

#[cfg(feature = "metal")]
mod metal {
    use super::*;

    #[test]
    fn metal_computes_every_family() {
        every_family(Computing::Device("MTL"));
    }

    #[test]
    fn metal_computes_the_same_with_kept_products() {
        kept_products(Computing::Device("MTL"));
    }
}

fn every_family(computing: Computing) {
    let Some(options) = computing.options(Precision::F32) else { return };
    for family in FAMILIES {
        let shape = Shape { family, ..shape() };
        let model = Synthetic::new(shape, "q4_k".parse().unwrap());
        agree(&model, options, LONG, 0.1, &format!("{family:?}"));
    }
}

fn every_type(computing: Computing) {
    let Some(options) = computing.options(Precision::F32) else { return };
    for tensor_type in TensorType::all() {
        let model = Synthetic::new(shape(), tensor_type);
        agree(&model, options, SHORT, 0.0, &tensor_type.to_string());
    }
}

/// What a block keeps of its forward pass saves time and changes nothing.
fn kept_products(computing: Computing) {
    let Some(options) = computing.options(Precision::Int8) else { return };
    let model = Synthetic::new(shape(), "q4_0".parse().unwrap());
    in_a_file(&model, |path| {
        let results = [0, 1, 2]
            .map(|kept_layers| run(path, EngineOptions { kept_layers, ..options }, LONG, 0.1));
        assert!(results[0] == results[1] && results[1] == results[2]);
    });
}

/// Whether an engine with these options does what the CPU's kernels do, in f32.
fn agree(model: &Synthetic, options: EngineOptions, lens: [usize; 2], dropout: f32, what: &str) {
    in_a_file(model, |path| {
        let kernels = EngineOptions { precision: Precision::F32, ..EngineOptions::default() };
        let expected = run(path, kernels, lens, dropout);
        let found = run(path, options, lens, dropout);
        let pairs = found.log_probs.iter().zip(&expected.log_probs);
        let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far <= F32_LOG_PROB, "{what}: log-probabilities differ by {far}");
        for ((name, found), (_, expected)) in found.gradients.iter().zip(&expected.gradients) {
            let cosine =
                dot(found, expected) / (dot(found, found) * dot(expected, expected)).sqrt();
            assert!(cosine >= F32_COSINE, "{what}: {name} has cosine {cosine}");
        }
    });
}

#[derive(PartialEq)]
struct Outcome {
    log_probs: Vec<f64>,
    gradients: Vec<(String, Vec<f32>)>,
}

/// One training pass over random tokens.
fn run(path: &Path, options: EngineOptions, lens: [usize; 2], lora_dropout: f32) -> Outcome {
    let gguf = Gguf::open(path).unwrap();
    let architecture = Architecture::from_gguf(&gguf).unwrap();
    let target_modules = Module::ALL.to_vec();
    let config = LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout, target_modules };
    let mut adapter = Adapter::init(&gguf, &architecture, config, 3);
    // B starts at 0, where A has no gradient.
    for pair in &mut adapter.pairs {
        pair.b.iter_mut().enumerate().for_each(|(i, b)| *b = (i as f32 * 1.7).sin() * 0.05);
    }
    // Tests run side by side, and threads of small graphs mostly wait for each other.
    let options = EngineOptions { n_threads: 1, ..options };
    let mut engine = Engine::open(&gguf, adapter, options).unwrap();
    let token = |i: usize| (i * 71 % architecture.n_vocab) as u32;
    let tokens = lens.map(|len| (0..len).map(token).collect::<Vec<u32>>());
    let sequences = tokens.each_ref().map(|tokens| {
        let (prompt, response) = tokens.split_at(tokens.len() / 3);
        Sequence { prompt, response }
    });
    let log_probs = engine.forward(&sequences, Mode::Train { seed: 1 }).unwrap();
    let weights: Vec<f64> = (0..log_probs.len()).map(|i| (i % 3) as f64 - 0.5).collect();
    engine.backward(&weights).unwrap();
    let mut gradients = Vec::new();
    engine.visit_parameters(&mut |p| gradients.push((p.name.to_owned(), p.grads.to_vec())));
    Outcome { log_probs, gradients }
}

fn shape() -> Shape {
    Shape { n_ctx: 1024, ..preset("tiny").unwrap() }
}

fn in_a_file(model: &Synthetic, check: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    model.write(&path).unwrap();
    check(&path);
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
