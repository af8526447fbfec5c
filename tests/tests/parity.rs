//! The engine against PyTorch: tokens, log-probabilities, losses, gradients, ten optimizer steps.

use std::sync::MutexGuard;

use cutq_core::example::Example;
use cutq_core::example_loss::{ExampleLoss, LogProbs, Marks};
use cutq_core::group::Group;
use cutq_core::model::{Mode, Model};
use cutq_core::objective::Cut;
use cutq_core::optimizer::{AdamW, Optimizer};
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions, evaluate_examples};
use cutq_ffi::{Device, Engine, Generator, GeneratorOptions, Gguf, Precision, Tokenizer};
use cutq_tests::computing::Computing;
use cutq_tests::golden::Golden;
use cutq_tests::group::tokenize;
use cutq_tests::model::TestModel;
use cutq_tests::tolerance;

#[test]
fn smollm2_f32() {
    exact(TestModel::SmolLm2, Computing::Kernels);
}

#[test]
fn smollm2_int8() {
    rounded(TestModel::SmolLm2, Computing::Kernels);
}

#[test]
fn smollm2_f32_portable() {
    exact(TestModel::SmolLm2, Computing::Portable);
}

#[test]
fn smollm2_int8_portable() {
    rounded(TestModel::SmolLm2, Computing::Portable);
}

#[test]
fn gemma3_f32() {
    exact(TestModel::Gemma3, Computing::Kernels);
}

#[test]
fn gemma3_int8() {
    rounded(TestModel::Gemma3, Computing::Kernels);
}

#[test]
fn gemma3_f32_portable() {
    exact(TestModel::Gemma3, Computing::Portable);
}

#[test]
fn gemma3_int8_portable() {
    rounded(TestModel::Gemma3, Computing::Portable);
}

#[test]
#[ignore = "the 1.1 GB model: make test-models"]
fn qwen2_f32() {
    exact(TestModel::Qwen2, Computing::Kernels);
}

#[test]
#[ignore = "the 1.1 GB model: make test-models"]
fn qwen2_int8() {
    rounded(TestModel::Qwen2, Computing::Kernels);
}

#[test]
#[ignore = "the 1.1 GB model: make test-models"]
fn qwen2_f32_portable() {
    exact(TestModel::Qwen2, Computing::Portable);
}

#[cfg(feature = "vulkan")]
#[test]
#[ignore = "for a GPU: takes many minutes in software"]
fn smollm2_f32_vulkan() {
    exact(TestModel::SmolLm2, Computing::Device("Vulkan"));
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::*;

    #[test]
    fn smollm2_int8_cuda() {
        rounded(TestModel::SmolLm2, Computing::Device("CUDA"));
    }

    #[test]
    fn gemma3_int8_cuda() {
        rounded(TestModel::Gemma3, Computing::Device("CUDA"));
    }
}

fn exact(model: TestModel, computing: Computing) {
    if let Some(parity) = Parity::new(model, computing, Precision::F32) {
        parity.exact();
    }
}

fn rounded(model: TestModel, computing: Computing) {
    if let Some(parity) = Parity::new(model, computing, Precision::Int8) {
        parity.rounded();
    }
}

/// One model with the adapter of its golden values, and what the engine makes of them.
struct Parity {
    _alone: MutexGuard<'static, ()>,
    model: TestModel,
    computing: Computing,
    golden: Golden,
    engine: Engine,
    groups: Vec<Group>,
}

/// Whose log-probabilities decide what each token weighs in the gradient.
#[derive(Clone, Copy)]
enum Weights {
    Own,
    Golden,
}

/// How far the engine is from PyTorch.
struct Distance {
    /// Largest and mean |Δ log p|, nats.
    log_prob_max: f64,
    log_prob_mean: f64,
    /// Largest relative difference of an example's loss.
    loss: f64,
    /// Smallest cosine of a gradient, and whose, among the tensors of the feed-forward network.
    ffn: (f64, String),
    /// The same among those of attention.
    attention: (f64, String),
    /// Largest relative difference of a gradient's norm, over every tensor.
    norm: f64,
}

impl Parity {
    /// `None` if the device is missing.
    fn new(model: TestModel, computing: Computing, precision: Precision) -> Option<Self> {
        let alone = model.alone();
        let options = computing.options(precision)?;
        let golden = Golden::read(model.fixture());
        let gguf = Gguf::open(&model.path()).expect("the model opens");
        let tokenizer = Tokenizer::from_gguf(&gguf).expect("it has a tokenizer");
        let groups = golden.examples.iter().enumerate();
        let groups = groups.map(|(i, e)| {
            let judgment = e.judgment.as_deref();
            let example = Example::from_instruction(&e.instruction, &e.input, &e.output, judgment);
            tokenize(&tokenizer, i, &example)
        });
        let groups = groups.collect();
        let adapter = golden.adapter(&gguf);
        let engine = Engine::open(&gguf, adapter, options).expect("the model is supported");
        Some(Self { _alone: alone, model, computing, golden, engine, groups })
    }

    /// At f32 everything agrees but for rounding.
    fn exact(mut self) {
        self.tokens();
        let distance = self.distance(Weights::Own);
        assert!(distance.log_prob_max <= tolerance::F32_LOG_PROB, "{}", distance.log_prob_max);
        assert!(distance.loss <= tolerance::F32_LOSS, "{}", distance.loss);
        assert!(distance.ffn.0 >= tolerance::F32_COSINE, "{:?}", distance.ffn);
        assert!(distance.attention.0 >= tolerance::F32_COSINE, "{:?}", distance.attention);
        assert!(distance.norm <= tolerance::F32_NORM, "{}", distance.norm);
        self.adamw(tolerance::F32_ADAMW);
    }

    /// At int8 the gradients point the same way, for the same U: a token at the edge of U may fall
    /// on either side of it, which is the objective's own discontinuity.
    fn rounded(mut self) {
        let distance = self.distance(Weights::Golden);
        let limits = match self.computing {
            Computing::Kernels => tolerance::INT8,
            // The backend rounds as it likes, so what that costs is asked of llama.cpp.
            _ => tolerance::INT8.at_noise(self.llama_cpp_noise()),
        };
        assert!(distance.log_prob_mean <= limits.log_prob, "{} {limits:?}", distance.log_prob_mean);
        assert!(distance.ffn.0 >= limits.cosine, "{:?} {limits:?}", distance.ffn);
        let attention = distance.attention;
        assert!(attention.0 >= limits.attention_cosine, "{attention:?} {limits:?}");
        self.adamw(limits.adamw);
    }

    /// Mean |Δ log p| of llama.cpp from PyTorch on this machine, with the same adapter and exact
    /// attention: what rounding the activations costs here.
    fn llama_cpp_noise(&self) -> f64 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("adapter.gguf");
        self.engine.adapter().save_gguf(&path).expect("the adapter is written");
        let device = Device::cpu();
        let options = GeneratorOptions { device, n_ctx: 1024, n_threads: 2, exact_attention: true };
        let model = self.model.path();
        let mut llama = Generator::open(&model, Some(&path), options).expect("it loads both");
        let mut differences = Vec::new();
        for example in &self.golden.examples {
            let mut add = |prompt: &[u32], expected: &Vec<f64>| {
                let found = llama.log_probs(prompt, &example.response_tokens).expect("it decodes");
                compare(Some(&found), Some(expected), &mut differences);
            };
            add(&example.prompt_tokens, &example.log_probs_plain);
            let judged = example.judged_prompt_tokens.iter().zip(&example.log_probs_judged);
            judged.for_each(|(prompt, expected)| add(prompt, expected));
        }
        let noise = differences.iter().sum::<f64>() / differences.len() as f64;
        println!("{}: llama.cpp's own mean |Δ log p| is {noise:.2e}", self.model.fixture());
        noise
    }

    fn tokens(&self) {
        for (group, example) in self.groups.iter().zip(&self.golden.examples) {
            assert_eq!(group.prompts.plain.as_ref(), Some(&example.prompt_tokens));
            assert_eq!(group.prompts.judged, example.judged_prompt_tokens);
            assert_eq!(group.response, example.response_tokens);
        }
    }

    fn distance(&mut self, source: Weights) -> Distance {
        let cut = Cut::paper();
        let groups: Vec<&Group> = self.groups.iter().collect();
        let mode = Mode::Train { seed: 0 };
        self.engine.zero_grads();
        let evaluated = evaluate_examples(&cut, &mut self.engine, &groups, mode)
            .expect("the forward pass runs");
        let mut differences = Vec::new();
        let mut loss: f64 = 0.0;
        let mut weights = Vec::new();
        for (found, example) in evaluated.iter().zip(&self.golden.examples) {
            let n = self.golden.examples.len() as f64;
            let judged = example.log_probs_judged.is_some();
            compare(
                found.log_probs.plain.as_ref(),
                Some(&example.log_probs_plain),
                &mut differences,
            );
            compare(
                found.log_probs.judged.as_ref(),
                example.log_probs_judged.as_ref(),
                &mut differences,
            );
            loss = loss.max((found.loss.loss - example.loss).abs() / example.loss.abs());
            let loss = match source {
                Weights::Own => found.loss.clone(),
                Weights::Golden => golden_loss(&cut, example),
            };
            weights.extend(loss.weights.plain.iter().map(|w| w / n));
            if judged {
                weights.extend(loss.weights.judged.iter().map(|w| w / n));
            }
        }
        self.engine.backward(&weights).expect("the backward pass runs");
        let ([ffn, attention], norm) = self.gradients();
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        let max = differences.into_iter().fold(0.0, f64::max);
        println!(
            "{}: |Δ log p| max {max:.2e} mean {mean:.2e}, loss {loss:.2e}, \
             smallest cosine {:.6} ({}) and {:.6} ({}), norms {norm:.2e}",
            self.model.fixture(),
            ffn.0,
            ffn.1,
            attention.0,
            attention.1
        );
        Distance { log_prob_max: max, log_prob_mean: mean, loss, ffn, attention, norm }
    }

    /// The smallest cosines over the stored tensors of the feed-forward network and of attention,
    /// and the largest norm difference over all.
    fn gradients(&mut self) -> ([(f64, String); 2], f64) {
        let mut cosines = [(1.0, String::new()), (1.0, String::new())];
        let mut norm_difference: f64 = 0.0;
        let mut compared = 0;
        let golden = &self.golden;
        self.engine.visit_parameters(&mut |parameter| {
            let norm = dot(parameter.grads, parameter.grads).sqrt();
            let expected = golden.grad_norm[parameter.name];
            norm_difference = norm_difference.max((norm - expected).abs() / expected);
            if let Some(gradient) = golden.grads.get(parameter.name) {
                let own = dot(&gradient.values, &gradient.values).sqrt();
                let value = dot(parameter.grads, &gradient.values) / (norm * own);
                compared += 1;
                let cosine = &mut cosines[usize::from(parameter.name.contains(".attn_"))];
                if value < cosine.0 || value.is_nan() {
                    *cosine = (value, parameter.name.to_owned());
                }
            }
        });
        assert_eq!(compared, golden.grads.len(), "every stored gradient is compared");
        (cosines, norm_difference)
    }

    /// Steps of AdamW from the golden adapter give PyTorch's losses: all ten of them by the kernels,
    /// three by portable operations, which take minutes for ten and differ in the gradient alone.
    fn adamw(&mut self, tolerance: f64) {
        let golden = &self.golden.adamw;
        let total_steps = golden.losses.len().max(1) as u64;
        let adamw = AdamW { weight_decay: golden.weight_decay, ..AdamW::default() };
        let options = TrainerOptions {
            optimizer: Optimizer::AdamW(adamw),
            schedule: LrSchedule::new(Schedule::Constant, golden.lr, 0.0, total_steps)
                .expect("valid"),
            max_grad_norm: 0.0,
            micro_batch_tokens: 4096,
            seed: 0,
        };
        let mut trainer: Trainer<Cut> = Trainer::new(Cut::paper(), options);
        let batch: Vec<&Group> = self.groups.iter().collect();
        let mut largest: f64 = 0.0;
        let n_steps = match self.computing {
            Computing::Portable => 3,
            _ => golden.losses.len(),
        };
        for (step, expected) in golden.losses.iter().enumerate().take(n_steps) {
            let report = trainer.step(&mut self.engine, &batch).expect("a step succeeds");
            let difference = (report.loss - expected).abs() / expected;
            println!(
                "{}: step {step} loss {:.5}, PyTorch {expected:.5}",
                self.model.fixture(),
                report.loss
            );
            assert!(difference.is_finite(), "step {step}: {difference}");
            largest = largest.max(difference);
        }
        assert!(largest <= tolerance, "{largest:.2e}, more than {tolerance:.2e}");
    }
}

/// The objective on PyTorch's log-probabilities.
fn golden_loss(cut: &Cut, example: &cutq_tests::golden::Example) -> ExampleLoss {
    let log_probs = LogProbs {
        plain: Some(example.log_probs_plain.clone()),
        judged: example.log_probs_judged.clone(),
        contrast: None,
    };
    let is_judged = log_probs.judged.is_some();
    let marks = Marks { is_judged, ends_with_eos: true, quoted: None };
    ExampleLoss::new(cut, &log_probs, marks).expect("log-probabilities of equal length")
}

fn compare(found: Option<&Vec<f64>>, expected: Option<&Vec<f64>>, differences: &mut Vec<f64>) {
    let (Some(found), Some(expected)) = (found, expected) else {
        assert_eq!(found.is_some(), expected.is_some());
        return;
    };
    assert_eq!(found.len(), expected.len());
    differences.extend(found.iter().zip(expected).map(|(a, b)| (a - b).abs()));
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
