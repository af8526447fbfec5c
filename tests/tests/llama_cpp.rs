//! The adapter that cutq writes is the one that llama.cpp reads.

use cutq_core::group::Group;
use cutq_core::model::{Mode, Model, Sequence};
use cutq_core::objective::Cut;
use cutq_core::optimizer::Optimizer;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions};
use cutq_ffi::{
    Adapter, Architecture, Engine, EngineOptions, Generator, GeneratorOptions, Gguf, LoraConfig,
    Module, Precision,
};
use cutq_tests::golden::Golden;
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

/// Gentle enough for ten steps not to memorize the four examples: extreme activations would measure
/// llama.cpp's rounding, not the adapter.
const LR: f64 = 2e-4;

/// Trains ten steps, saves the adapter, and compares llama.cpp's log-probabilities with cutq's.
fn trained_adapter_agrees(model: TestModel) {
    let _alone = model.alone();
    let gguf = Gguf::open(&model.path()).expect("the model opens");
    let groups = groups(&Golden::read(model.fixture()));
    let adapter = train(&gguf, &groups);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("adapter.gguf");
    adapter.save_gguf(&path).expect("the adapter is written");

    let options = EngineOptions { precision: Precision::F32, ..EngineOptions::default() };
    let mut engine = Engine::open(&gguf, adapter, options).expect("the model is supported");
    let open = |adapter| {
        let options = GeneratorOptions { n_ctx: 512, n_threads: 2, exact_attention: true };
        Generator::open(&model.path(), adapter, options).expect("llama.cpp loads both")
    };
    let (mut llama, mut plain) = (open(Some(path.as_path())), open(None));
    let (mut with, mut without, mut n) = (0.0, 0.0, 0.0);
    for group in &groups {
        let sequence = Sequence { prompt: &group.prompt, response: &group.response };
        let ours = engine.forward(&[sequence], Mode::Eval).expect("the forward pass runs");
        let theirs = |llama: &mut Generator| {
            let log_probs = llama.log_probs(&group.prompt, &group.response).expect("it decodes");
            ours.iter().zip(log_probs).map(|(a, b)| (a - b).abs()).sum::<f64>()
        };
        with += theirs(&mut llama);
        without += theirs(&mut plain);
        n += ours.len() as f64;
    }
    println!(
        "{}: mean |Δ log p| to llama.cpp {:.4} with the adapter, {:.4} without",
        model.fixture(),
        with / n,
        without / n
    );
    assert!(with / n <= tolerance::LLAMA_CPP_LOG_PROB);
    assert!(without > 4.0 * with, "the adapter must make a difference for the test to mean anything");
}

fn groups(golden: &Golden) -> Vec<Group> {
    let groups = golden.examples.iter().enumerate().map(|(index, example)| Group {
        index,
        prompt: example.prompt_tokens.clone(),
        judged_prompt: example.judged_prompt_tokens.clone(),
        contrast_prompt: None,
        response: example.response_tokens.clone(),
        ends_with_eos: true,
    });
    groups.collect()
}

fn train(gguf: &Gguf, groups: &[Group]) -> Adapter {
    let architecture = Architecture::from_gguf(gguf).expect("the model is supported");
    let config = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        lora_dropout: 0.0,
        target_modules: Module::ALL.to_vec(),
    };
    let adapter = Adapter::init(gguf, &architecture, config, 1);
    let mut engine =
        Engine::open(gguf, adapter, EngineOptions::default()).expect("the model is supported");
    let options = TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Constant, LR, 0.0, 10).expect("valid"),
        max_grad_norm: 1.0,
        micro_batch_tokens: 2048,
        seed: 1,
    };
    let mut trainer: Trainer<Cut> = Trainer::new(Cut::paper(), options);
    let batch: Vec<&Group> = groups.iter().collect();
    let losses: Vec<f64> = (0..10)
        .map(|_| trainer.step(&mut engine, &batch).expect("a step succeeds").loss)
        .collect();
    println!("losses {losses:.3?}");
    assert!(losses[9] < losses[0], "ten steps lower the loss: {losses:?}");
    engine.adapter().clone()
}
