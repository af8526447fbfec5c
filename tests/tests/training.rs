//! The training loop on the tiny model: it learns, repeats itself, resumes, and stops when it must.
#![allow(clippy::unwrap_used, missing_docs)]

use std::convert::Infallible;

use cutq_core::group::Group;
use cutq_core::model::{Mode, Model, Parameter, Sequence};
use cutq_core::objective::{AnyObjective, Cut, Hindsight, Mle, Unlikelihood};
use cutq_core::optimizer::{AdamW, Optimizer, Sgd, StateError};
use cutq_core::order::Batches;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Quantity, StepReport, TrainError, Trainer, TrainerOptions};
use cutq_tests::data::groups;
use cutq_tests::tiny::Tiny;

const STEPS: u64 = 10;
const DROPOUT: f64 = 0.1;

fn trainer(objective: AnyObjective, seed: u64) -> Trainer<AnyObjective, f64> {
    let options = TrainerOptions {
        optimizer: Optimizer::AdamW(AdamW { weight_decay: 0.01, ..AdamW::default() }),
        schedule: LrSchedule::new(Schedule::Cosine, 0.03, 0.2, STEPS).unwrap(),
        max_grad_norm: 1.0,
        micro_batch_tokens: 30,
        seed,
    };
    Trainer::new(objective, options)
}

/// Takes the steps from where the trainer stands up to `end`.
fn train(trainer: &mut Trainer<AnyObjective, f64>, model: &mut Tiny, end: u64) -> Vec<StepReport> {
    let groups = groups();
    let batches = Batches::new(groups.len(), 4, trainer.options().seed).unwrap();
    let mut reports = Vec::new();
    while trainer.step_count() < end {
        let batch: Vec<&Group> =
            batches.batch(trainer.step_count()).iter().map(|i| &groups[*i]).collect();
        reports.push(trainer.step(model, &batch).unwrap());
    }
    reports
}

fn objectives() -> [AnyObjective; 5] {
    [
        AnyObjective::Cut(Cut::paper()),
        AnyObjective::Cut(Cut::authors_code()),
        AnyObjective::Mle(Mle),
        AnyObjective::Hindsight(Hindsight),
        AnyObjective::Unlikelihood(Unlikelihood::default()),
    ]
}

#[test]
fn ten_steps_lower_the_loss_of_every_objective() {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    for objective in objectives() {
        let (mut trainer, mut model) = (trainer(objective, 42), Tiny::untrained(3, DROPOUT));
        let before = trainer.evaluate(&mut model, &groups).unwrap();
        let reports = train(&mut trainer, &mut model, STEPS);
        let after = trainer.evaluate(&mut model, &groups).unwrap();
        assert_eq!(reports.len() as u64, STEPS);
        assert!(after.loss < 0.95 * before.loss, "{objective:?}: {before:?}, then {after:?}");
    }
}

#[test]
fn a_run_repeats_bit_for_bit_and_its_seed_matters() {
    for objective in objectives() {
        let run = |seed| {
            let mut model = Tiny::untrained(3, DROPOUT);
            (train(&mut trainer(objective, seed), &mut model, STEPS), model.values())
        };
        assert_eq!(run(42), run(42));
        assert_ne!(run(42).1, run(43).1);
    }
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_bit_for_bit() {
    let objective = AnyObjective::default();
    let mut whole_model = Tiny::untrained(3, DROPOUT);
    let whole = train(&mut trainer(objective, 42), &mut whole_model, STEPS);

    let (mut first, mut model) = (trainer(objective, 42), Tiny::untrained(3, DROPOUT));
    train(&mut first, &mut model, 4);
    // What a checkpoint holds: the step count, the moments, the adapter.
    let (step, moments, values) = (first.step_count(), first.moments().to_vec(), model.values());

    let (mut second, mut model) = (trainer(objective, 42), Tiny::untrained(3, DROPOUT));
    model.set_values(&values);
    second.resume(step, moments);
    assert_eq!(train(&mut second, &mut model, STEPS), whole[4..]);
    assert_eq!(model.values(), whole_model.values());
}

#[test]
fn evaluation_changes_nothing_and_counts_everything() {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    let mut model = Tiny::new(3, DROPOUT);
    let values = model.values();
    let trainer = trainer(AnyObjective::default(), 42);
    let first = trainer.evaluate(&mut model, &groups).unwrap();
    assert_eq!(first, trainer.evaluate(&mut model, &groups).unwrap());
    assert_eq!(model.values(), values);
    // Responses with EOS: 4, 4, 2, 6, 2, 5; judged are the first, third, fourth and sixth.
    assert_eq!((first.target_tokens, first.judged_tokens, first.examples), (23, 17, 6));
    // Prompts 2, 1, 3, 2, 1, 2; judged prompts 1 + 2 + 3, 1 + 3 + 1, 1 + 2 + 2, 1 + 2 + 1.
    assert_eq!(first.tokens, 23 + 11 + 17 + 20);
    let positives = trainer.evaluate(&mut model, &[groups[1], groups[4]]).unwrap();
    assert_eq!((positives.judged_nll, positives.l1, positives.inappropriate), (None, 0.0, 0));
    assert_eq!(positives.loss, positives.l2);
    let judged_l2 = [0, 2, 3, 5].map(|i| {
        let alone = trainer.evaluate(&mut model, &[groups[i]]).unwrap();
        assert_eq!(alone.judged_nll, Some(alone.l2));
        alone.l2
    });
    let mean = judged_l2.iter().sum::<f64>() / 4.0;
    assert!((first.judged_nll.unwrap() - mean).abs() < 1e-12);
}

/// A tiny model with a fault.
struct Faulty {
    tiny: Tiny,
    fault: Fault,
    /// The first prompt token of the sequence the fault is in.
    token: u32,
    present: bool,
}

enum Fault {
    /// A NaN among the log-probabilities.
    LogProb,
    /// An infinite gradient of this parameter.
    Gradient(&'static str),
    /// This parameter's gradient is lost.
    Dead(&'static str),
    /// One log-probability too few.
    Short,
}

impl Model for Faulty {
    type Float = f64;
    type Error = Infallible;

    fn forward(&mut self, sequences: &[Sequence<'_>], mode: Mode) -> Result<Vec<f64>, Infallible> {
        let mut log_probs = self.tiny.forward(sequences, mode)?;
        let mut start = 0;
        self.present = false;
        for sequence in sequences {
            if sequence.prompt[0] == self.token {
                self.present = true;
                if matches!(self.fault, Fault::LogProb) {
                    log_probs[start + 1] = f64::NAN;
                }
            }
            start += sequence.response.len();
        }
        if matches!(self.fault, Fault::Short) {
            log_probs.pop();
        }
        Ok(log_probs)
    }

    fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), Infallible> {
        self.tiny.backward(dlog_probs)?;
        let (fault, present) = (&self.fault, self.present);
        self.tiny.visit_parameters(&mut |p| match fault {
            Fault::Gradient(name) if p.name == *name && present => p.grads[0] = f64::INFINITY,
            Fault::Dead(name) if p.name == *name => p.grads.fill(0.0),
            _ => {}
        });
        Ok(())
    }

    fn visit_parameters(&mut self, visit: &mut dyn FnMut(Parameter<'_, f64>)) {
        self.tiny.visit_parameters(visit);
    }

    fn zero_grads(&mut self) {
        self.tiny.zero_grads();
    }
}

/// Trains a model with a fault, whole batch at once; checks that the failed step changed nothing.
fn fail(tiny: Tiny, fault: Fault, steps_before: u64) -> TrainError<Infallible> {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    // Only example 3 has a prompt that begins with token 5.
    let mut model = Faulty { tiny, fault, token: 5, present: false };
    let options = TrainerOptions {
        micro_batch_tokens: usize::MAX,
        ..*trainer(AnyObjective::default(), 1).options()
    };
    let mut trainer = Trainer::new(AnyObjective::default(), options);
    for _ in 0..steps_before {
        trainer.step(&mut model, &groups).unwrap();
    }
    let (values, moments) = (model.tiny.values(), trainer.moments().to_vec());
    let error = trainer.step(&mut model, &groups).unwrap_err();
    assert_eq!(model.tiny.values(), values);
    assert_eq!((trainer.moments(), trainer.step_count()), (&moments[..], steps_before));
    error
}

#[test]
fn a_nan_names_its_example_and_token() {
    let error = fail(Tiny::new(3, 0.0), Fault::LogProb, 0);
    let message =
        "the log-probability of response token 1 in the plain context is NaN, in example 3";
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_infinite_gradient_names_its_example_and_parameter() {
    let name = "blk.1.ffn_up.weight.lora_a";
    let error = fail(Tiny::new(3, 0.0), Fault::Gradient(name), 0);
    let quantity = Quantity::Gradient { name: name.to_owned() };
    assert_eq!(error, TrainError::NonFinite { example: 3, quantity, value: f64::INFINITY });
}

#[test]
fn a_dead_lora_b_stops_the_first_step() {
    let name = "blk.0.attn_k.weight.lora_b";
    let error = fail(Tiny::untrained(3, 0.0), Fault::Dead(name), 0);
    assert_eq!(error, TrainError::DeadGradient { name: name.to_owned(), step: 1 });
}

#[test]
fn a_dead_lora_a_stops_the_second_step_when_its_partner_has_left_zero() {
    let name = "blk.0.attn_k.weight.lora_a";
    let error = fail(Tiny::untrained(3, 0.0), Fault::Dead(name), 1);
    assert_eq!(error, TrainError::DeadGradient { name: name.to_owned(), step: 2 });
}

#[test]
fn missing_log_probs_are_noticed() {
    // 23 response tokens, 17 of them read twice.
    let error = fail(Tiny::new(3, 0.0), Fault::Short, 0);
    assert_eq!(error, TrainError::LogProbCount { expected: 40, found: 39 });
}

#[test]
fn examples_and_states_that_do_not_fit_are_refused() {
    let mut groups = groups();
    let mut model = Tiny::new(3, 0.0);
    let mut trainer = trainer(AnyObjective::default(), 1);
    assert_eq!(trainer.step(&mut model, &[]), Err(TrainError::EmptyBatch));
    groups[1].response.clear();
    let error = trainer.step(&mut model, &[&groups[1]]).unwrap_err();
    assert_eq!(error.to_string(), "example 1 has an empty response");

    trainer.step(&mut model, &[&groups[0]]).unwrap();
    let mut moments = trainer.moments().to_vec();
    moments.swap(0, 1);
    trainer.resume(1, moments);
    let error = trainer.step(&mut model, &[&groups[0]]).unwrap_err();
    assert!(matches!(error, TrainError::State(StateError::Name { index: 0, .. })), "{error}");
}

#[test]
fn clipping_limits_the_step() {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    let moved = |max_grad_norm: f64| {
        let options = TrainerOptions {
            optimizer: Optimizer::Sgd(Sgd::default()),
            schedule: LrSchedule::new(Schedule::Constant, 1.0, 0.0, 1).unwrap(),
            max_grad_norm,
            ..*trainer(AnyObjective::default(), 1).options()
        };
        let mut model = Tiny::new(3, 0.0);
        let before = model.values();
        let report = Trainer::new(AnyObjective::default(), options).step(&mut model, &groups);
        let squares = before.iter().zip(model.values()).map(|(a, b)| (a - b).powi(2));
        (squares.sum::<f64>().sqrt(), report.unwrap().grad_norm)
    };
    let (free, norm) = moved(0.0);
    assert!((free - norm).abs() < 1e-9, "moved {free}, gradient {norm}");
    let (clipped, reported) = moved(0.01);
    assert!((clipped - 0.01).abs() < 1e-5, "moved {clipped}");
    assert!((reported - norm).abs() < 1e-12, "the report gives the norm before clipping");
}
