//! The adapter that cutq writes is the one that llama.cpp reads.

use std::path::Path;

use cutq_core::context::Contexts;
use cutq_core::group::Group;
use cutq_core::model::{Mode, Model, Sequence};
use cutq_core::objective::Cut;
use cutq_core::optimizer::Optimizer;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions};
use cutq_ffi::{
    Adapter, Architecture, Device, Engine, EngineOptions, Generator, GeneratorOptions, Gguf,
    LoraConfig, Precision, Projection, Tokenizer,
};
use cutq_tests::group::tokenize;
use cutq_tests::judgments::{self, Judgment};
use cutq_tests::model::TestModel;
use cutq_tests::tolerance;

#[test]
fn smollm2() {
    trained_adapter_agrees(TestModel::SmolLm2);
}

#[test]
fn gemma3() {
    trained_adapter_agrees(TestModel::Gemma3);
}

#[test]
#[ignore = "the 1.1 GB model: make test-models"]
fn qwen2() {
    trained_adapter_agrees(TestModel::Qwen2);
}

/// Adapters of other programs may have a rank for each pair, and no alpha.
#[test]
fn smollm2_with_mixed_ranks_and_no_alpha() {
    let model = TestModel::SmolLm2;
    let _alone = model.alone();
    let gguf = Gguf::open(&model.path()).expect("the model opens");
    let groups = groups(&gguf);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let without = log_probs(&gguf, adapter(&gguf), &groups);
    let floor = mean(&without, &llama_log_probs(model, None, &groups));
    for lora_alpha in [16.0, 0.0] {
        let adapter = mixed(&gguf, lora_alpha);
        let path = folder.path().join("adapter.gguf");
        adapter.save_gguf(&path).expect("the adapter is written");
        let ours = log_probs(&gguf, adapter, &groups);
        let theirs = llama_log_probs(model, Some(&path), &groups);
        let (with, effect) = (mean(&ours, &theirs), mean(&ours, &without));
        println!(
            "alpha {lora_alpha}: mean |Δ log p| {with:.4}, the adapter moves them by {effect:.4}"
        );
        let limit = tolerance::LLAMA_CPP_LOG_PROB.max(tolerance::LLAMA_CPP_FLOOR * floor);
        assert!(with <= limit, "{with} > {limit}");
        assert!(effect > 4.0 * with, "an adapter without effect would prove nothing");
    }
}

/// Ranks 4, 8 and 16 by turns, and B of A's values times ten, so that each pair has an effect.
fn mixed(gguf: &Gguf, lora_alpha: f32) -> Adapter {
    let mut adapter = adapter(gguf);
    adapter.config.lora_alpha = lora_alpha;
    for (pair, r) in adapter.pairs.iter_mut().zip([4, 8, 16].into_iter().cycle()) {
        pair.a.truncate(r * pair.n_in);
        let b = pair.a.iter().rev().map(|a| 10.0 * a).cycle();
        pair.b = b.take(r * pair.n_out).collect();
    }
    adapter
}

/// Trains ten steps, saves the adapter, and compares llama.cpp's log-probabilities with cutq's.
fn trained_adapter_agrees(model: TestModel) {
    let _alone = model.alone();
    let gguf = Gguf::open(&model.path()).expect("the model opens");
    let groups = groups(&gguf);
    let untrained = adapter(&gguf);
    let adapter = train(&gguf, untrained.clone(), &groups);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("adapter.gguf");
    adapter.save_gguf(&path).expect("the adapter is written");

    let ours = log_probs(&gguf, adapter, &groups);
    let ours_untrained = log_probs(&gguf, untrained, &groups);
    let theirs = llama_log_probs(model, Some(&path), &groups);
    let theirs_untrained = llama_log_probs(model, None, &groups);
    let (with, floor) = (mean(&ours, &theirs), mean(&ours_untrained, &theirs_untrained));
    let effect = mean(&ours, &ours_untrained);
    println!(
        "{}: mean |Δ log p| to llama.cpp {with:.4}, without an adapter {floor:.4}; \
         the adapter moves them by {effect:.4}",
        model.fixture()
    );
    let limit = tolerance::LLAMA_CPP_LOG_PROB.max(tolerance::LLAMA_CPP_FLOOR * floor);
    assert!(with <= limit, "{with} > {limit}");
    assert!(effect > 4.0 * with, "an adapter without effect would prove nothing");
}

/// The eight shortest judged examples of the demo.
fn groups(gguf: &Gguf) -> Vec<Group> {
    let tokenizer = Tokenizer::from_gguf(gguf).expect("it has a tokenizer");
    let judgments = judgments::read().into_iter().filter(|j| j.judgment.is_some());
    let tokenize = |(i, j): (usize, Judgment)| tokenize(&tokenizer, i, &j.example());
    let mut groups: Vec<Group> = judgments.enumerate().map(tokenize).collect();
    groups.sort_by_key(|group| (group.n_tokens(Contexts::PLAIN), group.index));
    groups.truncate(8);
    groups
}

/// The response after its plain prompt.
fn plain(group: &Group) -> Vec<Sequence<'_>> {
    group.sequences(Contexts::PLAIN).expect("every example has a plain prompt")
}

/// Log-probabilities of all responses in the plain context, by the engine.
fn log_probs(gguf: &Gguf, adapter: Adapter, groups: &[Group]) -> Vec<f64> {
    let options = EngineOptions { precision: Precision::F32, ..EngineOptions::default() };
    let mut engine = Engine::open(gguf, adapter, options).expect("the model is supported");
    let sequences: Vec<Sequence<'_>> = groups.iter().flat_map(plain).collect();
    engine.forward(&sequences, Mode::Eval).expect("the forward pass runs")
}

/// The same by llama.cpp.
fn llama_log_probs(model: TestModel, adapter: Option<&Path>, groups: &[Group]) -> Vec<f64> {
    let device = Device::cpu();
    let options = GeneratorOptions { device, n_ctx: 512, n_threads: 2, exact_attention: true };
    let mut llama = Generator::open(&model.path(), adapter, options).expect("llama.cpp loads both");
    let one = |s: Sequence<'_>| llama.log_probs(s.prompt, s.response).expect("it decodes");
    groups.iter().flat_map(plain).flat_map(one).collect()
}

fn mean(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

fn adapter(gguf: &Gguf) -> Adapter {
    let architecture = Architecture::from_gguf(gguf).expect("the model is supported");
    let target_modules = Projection::FFN.to_vec();
    let config = LoraConfig { r: 16, lora_alpha: 16.0, lora_dropout: 0.0, target_modules };
    Adapter::init(gguf, &architecture, config, 1)
}

fn train(gguf: &Gguf, adapter: Adapter, groups: &[Group]) -> Adapter {
    let options = EngineOptions::default();
    let mut engine = Engine::open(gguf, adapter, options).expect("the model is supported");
    let options = TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Constant, 2e-4, 0.0, 10).expect("valid"),
        max_grad_norm: 1.0,
        micro_batch_tokens: 2048,
        seed: 1,
    };
    let mut trainer: Trainer<Cut> = Trainer::new(Cut::paper(), options);
    let batch: Vec<&Group> = groups.iter().collect();
    let mut step = || trainer.step(&mut engine, &batch).expect("a step succeeds").loss;
    let losses: Vec<f64> = (0..10).map(|_| step()).collect();
    println!("losses {losses:.3?}");
    assert!(losses[9] < losses[0], "ten steps lower the loss: {losses:?}");
    engine.adapter().clone()
}
