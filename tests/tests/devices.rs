//! Every way of computing gives what the CPU's kernels give: log-probabilities and gradients of
//! made-up models of every family and type, and of sequences longer than one tile of attention.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use cutq_core::context::PerContext;
use cutq_core::group::Group;
use cutq_core::model::{Mode, Model, Sequence};
use cutq_core::objective::{Cut, CutOptions, Spans};
use cutq_core::optimizer::Optimizer;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions};
use cutq_ffi::{
    Adapter, Architecture, Demand, Engine, EngineError, EngineOptions, Family, Gguf, LoraConfig,
    Plan, Precision, Projection, Retention, TensorType,
};
use cutq_tests::computing::Computing;
use cutq_tests::synthetic::{Shape, Synthetic, preset};
use cutq_tests::tolerance::{
    CUDA_GRANITE_LOG_PROB, DEVICE_LOG_PROB, F32_ADAMW, F32_COSINE, F32_LOG_PROB, F32_LOSS,
};

/// Tokens of two sequences; the first sees more than Gemma's window and attention's tile.
const LONG: [usize; 2] = [700, 90];
const SHORT: [usize; 2] = [25, 15];

#[test]
fn portable_operations_compute_every_family() {
    every_family(Computing::Portable);
}

#[test]
fn portable_operations_train_every_family() {
    training(Computing::Portable);
}

#[test]
fn portable_operations_compute_every_type() {
    every_type(Computing::Portable, &[]);
}

#[test]
fn kernels_compute_the_same_with_what_is_retained() {
    retained(Computing::Kernels);
}

#[test]
fn portable_operations_compute_the_same_with_what_is_retained() {
    retained(Computing::Portable);
}

#[test]
fn the_kernels_compute_the_same_whatever_stays_in_memory() {
    layers_that_stay(Computing::Kernels);
}

#[test]
fn portable_operations_compute_the_same_whatever_stays_in_memory() {
    layers_that_stay(Computing::Portable);
}

#[test]
fn portable_operations_stay_within_every_budget() {
    budgets(Computing::Portable);
}

#[test]
fn the_kernels_drop_the_same_in_any_micro_batch() {
    micro_batches(Computing::Kernels);
}

#[test]
fn portable_operations_drop_the_same_in_any_micro_batch() {
    micro_batches(Computing::Portable);
}

#[cfg(feature = "vulkan")]
mod vulkan {
    use super::*;

    #[test]
    fn vulkan_computes_the_same_whatever_stays_in_memory() {
        layers_that_stay(Computing::Device("Vulkan"));
    }

    #[test]
    fn vulkan_stays_within_every_budget() {
        budgets(Computing::Device("Vulkan"));
    }

    #[test]
    fn vulkan_drops_the_same_in_any_micro_batch() {
        micro_batches(Computing::Device("Vulkan"));
    }

    #[test]
    fn vulkan_computes_every_family() {
        every_family(Computing::Device("Vulkan"));
    }

    #[test]
    fn vulkan_trains_every_family() {
        training(Computing::Device("Vulkan"));
    }

    #[test]
    fn vulkan_computes_every_type() {
        every_type(Computing::Device("Vulkan"), &[]);
    }

    #[test]
    fn vulkan_computes_the_same_with_what_is_retained() {
        retained(Computing::Device("Vulkan"));
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::*;

    #[test]
    fn cuda_computes_the_same_whatever_stays_in_memory() {
        layers_that_stay(Computing::Device("CUDA"));
    }

    #[test]
    fn cuda_stays_within_every_budget() {
        budgets(Computing::Device("CUDA"));
    }

    #[test]
    fn cuda_drops_the_same_in_any_micro_batch() {
        micro_batches(Computing::Device("CUDA"));
    }

    #[test]
    fn cuda_computes_every_family() {
        every_family(Computing::Device("CUDA"));
    }

    #[test]
    fn cuda_trains_every_family() {
        training(Computing::Device("CUDA"));
    }

    #[test]
    fn cuda_computes_every_type() {
        // Those that ggml's CUDA backend cannot dequantize by rows.
        every_type(Computing::Device("CUDA"), &["tq1_0", "tq2_0", "nvfp4"]);
    }

    #[test]
    fn cuda_computes_the_same_with_what_is_retained() {
        retained(Computing::Device("CUDA"));
    }
}

#[cfg(feature = "metal")]
mod metal {
    use super::*;

    #[test]
    fn metal_computes_the_same_whatever_stays_in_memory() {
        layers_that_stay(Computing::Device("Metal"));
    }

    #[test]
    fn metal_stays_within_every_budget() {
        budgets(Computing::Device("Metal"));
    }

    #[test]
    fn metal_computes_every_family() {
        every_family(Computing::Device("Metal"));
    }

    #[test]
    fn metal_trains_every_family() {
        training(Computing::Device("Metal"));
    }

    #[test]
    fn metal_computes_the_same_with_what_is_retained() {
        retained(Computing::Device("Metal"));
    }
}

fn every_family(computing: Computing) {
    let Some(options) = computing.options(Precision::F32) else { return };
    let mut seen = Vec::new();
    for family in Family::ALL {
        let shape = Shape { family, ..shape() };
        let model = Synthetic::new(shape, "q4_k".parse().unwrap());
        agree(&model, options, LONG, 0.1, &format!("{family:?}"), &mut seen);
    }
}

/// Whether the kernels' `result` was seen before, of a family that differs in name only: a device need
/// not compute it again, which takes seconds on one in software.
fn is_seen(result: &[f64], seen: &mut Vec<Vec<f64>>, what: &str) -> bool {
    let is_seen = seen.iter().any(|other| other == result);
    match is_seen {
        true => println!("{what}: as a family before"),
        false => seen.push(result.to_vec()),
    }
    is_seen
}

/// Every type is computed rightly or, if the device is known to lack it, refused by name.
fn every_type(computing: Computing, lacking: &[&str]) {
    let Some(options) = computing.options(Precision::F32) else { return };
    for tensor_type in TensorType::all() {
        let model = Synthetic::new(shape(), tensor_type);
        if lacking.contains(&tensor_type.to_string().as_str()) {
            in_a_file(&model, |path| {
                let refused = try_step(&mut open(path, options, 0.0), SHORT).err().unwrap();
                assert!(refused.to_string().contains(&tensor_type.to_string()), "{refused}");
            });
            continue;
        }
        agree(&model, options, SHORT, 0.0, &tensor_type.to_string(), &mut Vec::new());
    }
}

/// Ten steps of AdamW lower the loss as they do with the CPU's kernels.
fn training(computing: Computing) {
    let Some(options) = computing.options(Precision::F32) else { return };
    let mut seen = Vec::new();
    for family in Family::ALL {
        let model = Synthetic::new(Shape { family, ..shape() }, "q4_k".parse().unwrap());
        in_a_file(&model, |path| {
            let kernels = EngineOptions { precision: Precision::F32, ..EngineOptions::default() };
            let expected = losses(path, kernels, (0.0, 1024));
            if is_seen(&expected, &mut seen, &format!("{family:?}")) {
                return;
            }
            let found = losses(path, options, (0.0, 1024));
            assert!(expected[9] < 0.98 * expected[0], "{family:?} learns nothing: {expected:?}");
            let pairs = found.iter().zip(&expected);
            let far = pairs.map(|(a, b)| (a - b).abs() / b).fold(0.0, f64::max);
            println!("{family:?}: loss {:.4} to {:.4}, off by {far:.2e}", found[0], found[9]);
            assert!(far <= F32_ADAMW, "{family:?}: {found:?}, expected {expected:?}");
        });
    }
}

/// What a run drops is decided by its seed, not by how many examples share a pass, which depends on the
/// memory that it may take.
fn micro_batches(computing: Computing) {
    let Some(options) = computing.options(Precision::F32) else { return };
    in_a_file(&Synthetic::new(shape(), "q4_k".parse().unwrap()), |path| {
        let [together, alone] = [1024, 1].map(|tokens| losses(path, options, (0.25, tokens)));
        let pairs = together.iter().zip(&alone);
        let far = pairs.map(|(a, b)| (a - b).abs() / b).fold(0.0, f64::max);
        assert!(far <= F32_LOSS, "{together:?} and {alone:?}");
        let nothing_dropped = losses(path, options, (0.0, 1024));
        let far = (together[9] - nothing_dropped[9]).abs() / nothing_dropped[9];
        assert!(far > 10.0 * F32_LOSS, "{together:?} and {nothing_dropped:?} without dropout");
    });
}

/// What a layer retains, of its forward pass or of its weights, saves time and changes nothing.
fn retained(computing: Computing) {
    let Some(options) = computing.options(Precision::Int8) else { return };
    let model = Synthetic::new(shape(), "q4_0".parse().unwrap());
    // Only the kernels divide long sequences.
    let lens = if matches!(computing, Computing::Kernels) { LONG } else { SHORT };
    in_a_file(&model, |path| {
        let results = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2), (2, 2)].map(|(products, panels)| {
            let retention = Retention { products, panels, ..Retention::default() };
            run(path, EngineOptions { retention, ..options }, lens, 0.1)
        });
        results.iter().for_each(|result| same(result, &results[0]));
    });
}

/// The same bits, or how far they are apart.
fn same(found: &Outcome, expected: &Outcome) {
    let pairs = found.log_probs.iter().zip(&expected.log_probs);
    let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let mut different = Vec::new();
    for ((name, a), (_, b)) in found.gradients.iter().zip(&expected.gradients) {
        let far = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if a != b {
            different.push(format!("{name} by {far:.1e}"));
        }
    }
    assert!(found == expected, "log-probs differ by {far:.1e}, gradients: {different:?}");
}

/// Layers that come and go change nothing: none stays, one does, all but one, all.
fn layers_that_stay(computing: Computing) {
    let Some(options) = computing.options(Precision::Int8) else { return };
    in_a_file(&deep(), |path| {
        let results = [0, 1, DEPTH - 1, DEPTH].map(|weights| {
            let retention = Retention { weights, ..Retention::NONE };
            let mut engine = open(path, EngineOptions { retention, ..options }, 0.1);
            [(); 2].map(|()| step(&mut engine, SHORT))
        });
        for found in &results {
            found.iter().zip(&results[0]).for_each(|(found, expected)| same(found, expected));
        }
        assert!(results[0][0].gradients == results[0][1].gradients);
    });
}

/// At the smallest budget, at one for everything, and between them, as many bytes are allocated as
/// planned, and the results are the same.
fn budgets(computing: Computing) {
    let Some(options) = computing.options(Precision::Int8) else { return };
    in_a_file(&deep(), |path| {
        let mut results: Vec<Outcome> = Vec::new();
        let mut planned = Vec::new();
        let demand = Demand {
            largest: SHORT.iter().sum(),
            longest: SHORT[0],
            micro_batch: 0,
            fixed: false,
            optimizer_bytes: 8,
            program: 0,
        };
        let choose = |engine: &Engine, budget| Plan::choose(engine, demand, budget);
        let engine = open(path, options, 0.1);
        let smallest = choose(&engine, 0).unwrap_err().smallest;
        let largest = choose(&engine, u64::MAX).unwrap();
        let middle = smallest + 2 * largest.footprint.weights.layer;
        for budget in [smallest, middle, largest.peak()] {
            let mut engine = open(path, options, 0.1);
            let plan = choose(&engine, budget).unwrap();
            engine.retain(plan.retention);
            results.push(step(&mut engine, SHORT));
            let peak = engine.take_peak_bytes();
            assert!(peak <= plan.peak() && plan.peak() <= budget, "{peak} of {budget}: {plan:?}");
            // A plan that reserves much more than is used would refuse what fits. It reserves what a layer
            // needs that computes its products again; on CUDA one that does not have to needs less,
            // because it copies no operand.
            let [used, reserved] =
                if computing == Computing::Device("CUDA") { [8, 7] } else { [10, 9] };
            let needed = plan.peak() - plan.footprint.scratch;
            assert!(peak * used >= needed * reserved, "{peak}: {plan:?}");
            planned.push((plan.retention.weights, plan.retention.products));
        }
        results.iter().for_each(|found| same(found, &results[0]));
        assert_eq!(planned, [(0, 0), (2, 0), (DEPTH, DEPTH)]);
    });
}

/// Layers of [`deep`].
const DEPTH: usize = 6;

/// A model with more layers than come and go at a time.
fn deep() -> Synthetic {
    Synthetic::new(Shape { n_layer: DEPTH, ..shape() }, "q4_k".parse().unwrap())
}

/// Whether an engine with these options does what the CPU's kernels do, in f32.
fn agree(
    model: &Synthetic,
    options: EngineOptions,
    lens: [usize; 2],
    dropout: f32,
    what: &str,
    seen: &mut Vec<Vec<f64>>,
) {
    in_a_file(model, |path| {
        let kernels = EngineOptions { precision: Precision::F32, ..EngineOptions::default() };
        let expected = run(path, kernels, lens, dropout);
        if is_seen(&expected.log_probs, seen, what) {
            return;
        }
        let found = run(path, options, lens, dropout);
        let pairs = found.log_probs.iter().zip(&expected.log_probs);
        let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let is_cuda = options.device.name().starts_with("CUDA");
        let most = match model.shape.family {
            _ if options.device.is_cpu() => F32_LOG_PROB,
            Family::Granite if is_cuda => CUDA_GRANITE_LOG_PROB,
            _ => DEVICE_LOG_PROB,
        };
        assert!(far <= most, "{what}: log-probabilities differ by {far}");
        let mut smallest = 1.0f64;
        for ((name, found), (_, expected)) in found.gradients.iter().zip(&expected.gradients) {
            let cosine =
                dot(found, expected) / (dot(found, found) * dot(expected, expected)).sqrt();
            assert!(cosine >= F32_COSINE, "{what}: {name} has cosine {cosine}");
            smallest = smallest.min(cosine);
        }
        println!("{what}: |Δ log p| max {far:.2e}, smallest cosine {smallest:.8}");
    });
}

#[derive(PartialEq)]
struct Outcome {
    log_probs: Vec<f64>,
    gradients: Vec<(String, Vec<f32>)>,
}

/// One training pass over random tokens.
fn run(path: &Path, options: EngineOptions, lens: [usize; 2], dropout: f32) -> Outcome {
    step(&mut open(path, options, dropout), lens)
}

/// The loss before each of ten steps on one judged and one plain example. U is what the judge quotes:
/// the contrast's would jump with a token at its edge, which rounding moves.
fn losses(
    path: &Path,
    options: EngineOptions,
    (dropout, micro_batch_tokens): (f32, usize),
) -> Vec<f64> {
    let mut engine = open(path, options, dropout);
    let n_vocab = engine.architecture().n_vocab;
    let group = |index: usize, judged| Group {
        index,
        prompts: PerContext {
            plain: Some(tokens(9 + index, n_vocab)),
            judged: Some(tokens(14, n_vocab)).filter(|_| judged),
            contrast: None,
        },
        response: tokens(12 + index, n_vocab),
        ends_with_eos: false,
        quoted: judged.then(|| (0..12 + index).map(|t| t % 3 == 0).collect()),
    };
    let groups = [group(0, true), group(1, false)];
    let options = TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Constant, 1e-3, 0.0, 10).unwrap(),
        max_grad_norm: 1.0,
        micro_batch_tokens,
        seed: 0,
    };
    let by_quotes = CutOptions { spans: Spans::Quotes, ..CutOptions::PAPER };
    let mut trainer: Trainer<Cut> = Trainer::new(Cut::new(by_quotes).unwrap(), options);
    let batch: Vec<&Group> = groups.iter().collect();
    (0..10).map(|_| trainer.step(&mut engine, &batch).unwrap().loss).collect()
}

/// An engine with an adapter on every projection, in which nothing is zero.
fn open(path: &Path, options: EngineOptions, lora_dropout: f32) -> Engine {
    let gguf = Gguf::open(path).unwrap();
    let architecture = Architecture::from_gguf(&gguf).unwrap();
    let target_modules = Projection::ALL.to_vec();
    let config = LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout, target_modules };
    let mut adapter = Adapter::init(&gguf, &architecture, config, 3);
    // B starts at 0, where A has no gradient.
    for pair in &mut adapter.pairs {
        pair.b.iter_mut().enumerate().for_each(|(i, b)| *b = (i as f32 * 1.7).sin() * 0.05);
    }
    // Tests run side by side, and threads of small graphs mostly wait for each other.
    Engine::open(&gguf, adapter, EngineOptions { n_threads: 1, ..options }).unwrap()
}

fn tokens(len: usize, n_vocab: usize) -> Vec<u32> {
    (0..len).map(|i| (i * 71 % n_vocab) as u32).collect()
}

/// One training pass over random tokens.
fn step(engine: &mut Engine, lens: [usize; 2]) -> Outcome {
    try_step(engine, lens).unwrap()
}

fn try_step(engine: &mut Engine, lens: [usize; 2]) -> Result<Outcome, EngineError> {
    let n_vocab = engine.architecture().n_vocab;
    let tokens = lens.map(|len| tokens(len, n_vocab));
    let sequences = tokens.each_ref().map(|tokens| {
        let (prompt, response) = tokens.split_at(tokens.len() / 3);
        Sequence { prompt, response, id: tokens.len() as u64 }
    });
    engine.zero_grads();
    let log_probs = engine.forward(&sequences, Mode::Train { seed: 1 })?;
    let weights: Vec<f64> = (0..log_probs.len()).map(|i| (i % 3) as f64 - 0.5).collect();
    engine.backward(&weights)?;
    let mut gradients = Vec::new();
    engine.visit_parameters(&mut |p| gradients.push((p.name.to_owned(), p.grads.to_vec())));
    Ok(Outcome { log_probs, gradients })
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
