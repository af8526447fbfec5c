//! Training at int8 follows training at f32.

use cutq_core::context::Contexts;
use cutq_core::group::Group;
use cutq_core::objective::Cut;
use cutq_core::optimizer::Optimizer;
use cutq_core::order::Batches;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions};
use cutq_ffi::{
    Adapter, Architecture, Engine, EngineOptions, Gguf, LoraConfig, Precision, Projection,
    Tokenizer,
};
use cutq_tests::group::tokenize;
use cutq_tests::model::TestModel;
use cutq_tests::{judgments, tolerance};

const STEPS: usize = 100;

/// Steps whose mean is compared: a token at the edge of U falls on either side at int8, and moves
/// the loss of its batch by more than the precision does.
const WINDOW: usize = 20;

const BATCH: usize = 2;

#[test]
#[ignore = "two hundred steps take minutes: make test-slow"]
fn a_hundred_steps_at_int8_have_the_losses_of_f32() {
    let _alone = TestModel::SmolLm2.alone();
    let gguf = Gguf::open(&TestModel::SmolLm2.path()).expect("the model opens");
    let groups = groups(&gguf);
    let curves =
        [Precision::F32, Precision::Int8].map(|precision| train(&gguf, &groups, precision));
    let windows = curves.each_ref().map(|losses| {
        losses
            .chunks(WINDOW)
            .map(|part| part.iter().sum::<f64>() / WINDOW as f64)
            .collect::<Vec<_>>()
    });
    for (i, (f32, int8)) in windows[0].iter().zip(&windows[1]).enumerate() {
        let (first, last) = (i * WINDOW + 1, (i + 1) * WINDOW);
        println!("steps {first:3} to {last:3}: f32 {f32:.4}, int8 {int8:.4}");
    }
    for (f32, int8) in windows[0].iter().zip(&windows[1]) {
        let error = (int8 / f32 - 1.0).abs();
        assert!(error <= tolerance::INT8_CURVE, "{error}");
    }
    let [first, last] = [windows[0][0], windows[0][STEPS / WINDOW - 1]];
    assert!(last < 0.9 * first, "nothing was learned: {first} to {last}");
}

/// The demo's shortest examples, enough for every step to see new ones: what is read again and
/// again is learned by heart, and then int8 shows by up to 3.5 %.
fn groups(gguf: &Gguf) -> Vec<Group> {
    let tokenizer = Tokenizer::from_gguf(gguf).expect("it has a tokenizer");
    let judgments = judgments::read().into_iter().enumerate();
    let groups = judgments.map(|(i, judgment)| tokenize(&tokenizer, i, &judgment.example()));
    let mut groups: Vec<Group> = groups.collect();
    groups.sort_by_key(|group| (group.n_tokens(Contexts::PLAIN), group.index));
    groups.truncate(STEPS * BATCH);
    groups
}

/// The loss of every step.
fn train(gguf: &Gguf, groups: &[Group], precision: Precision) -> Vec<f64> {
    let architecture = Architecture::from_gguf(gguf).expect("the model is supported");
    let config = LoraConfig {
        r: 16,
        lora_alpha: 16.0,
        lora_dropout: 0.0,
        target_modules: Projection::FFN.to_vec(),
    };
    let adapter = Adapter::init(gguf, &architecture, config, 7);
    let options = EngineOptions { precision, ..EngineOptions::default() };
    let mut engine = Engine::open(gguf, adapter, options).expect("the model is supported");
    let options = TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Linear, 4e-4, 0.03, STEPS as u64).expect("it is valid"),
        max_grad_norm: 1.0,
        micro_batch_tokens: 1024,
        seed: 7,
    };
    let mut trainer = Trainer::new(Cut::paper(), options);
    let batches = Batches::new(groups.len(), BATCH, 7).expect("there are examples");
    let mut step = |step: usize| {
        let batch: Vec<&Group> = batches.batch(step as u64).iter().map(|&i| &groups[i]).collect();
        trainer.step(&mut engine, &batch).expect("the step runs").loss
    };
    (0..STEPS).map(&mut step).collect()
}
