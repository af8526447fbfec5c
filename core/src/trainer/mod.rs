//! The training loop: batches of groups in, updated parameters out, over any [`Model`].

mod error;
mod gradients;
mod micro_batch;
mod quotes;
mod report;

pub use error::{Quantity, TrainError};
pub use micro_batch::{EvaluatedExample, evaluate_examples, micro_batches};
pub use quotes::QuoteCounts;
pub use report::{Evaluation, StepReport};

use alloc::vec::Vec;

use crate::clip;
use crate::float::Float;
use crate::group::Group;
use crate::model::{Mode, Model};
use crate::objective::Objective;
use crate::optimizer::{Moments, Optimizer, OptimizerState};
use crate::order::step_seed;
use crate::schedule::LrSchedule;
use crate::trainer::gradients::{NonFinite, Survey};
use crate::trainer::report::Totals;

/// How to train, whatever the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainerOptions {
    /// The update rule.
    pub optimizer: Optimizer,
    /// The learning rate of every step.
    pub schedule: LrSchedule,
    /// Longer gradients are scaled down to this norm; 0 for none.
    pub max_grad_norm: f64,
    /// Examples share a forward pass up to this many tokens. An example's contexts always stay
    /// together.
    pub micro_batch_tokens: usize,
    /// Decides dropout, together with the step.
    pub seed: u64,
}

/// Trains a model whose parameters are of type `F` with an objective.
///
/// A step is a function of parameters, optimizer state, step number and batch: restore these (see
/// [`Trainer::resume`]) and it is repeated bit for bit.
#[derive(Clone, Debug)]
pub struct Trainer<O, F = f32> {
    objective: O,
    options: TrainerOptions,
    state: OptimizerState<F>,
    step: u64,
    /// Parameters that have had a nonzero gradient, by position.
    seen_alive: Vec<bool>,
}

impl<O: Objective, F: Float> Trainer<O, F> {
    /// A trainer at step 0.
    pub fn new(objective: O, options: TrainerOptions) -> Self {
        let state = OptimizerState::default();
        Self { objective, options, state, step: 0, seen_alive: Vec::new() }
    }

    /// Continues a run that has taken `step` steps and left these moments, see
    /// [`Trainer::moments`].
    ///
    /// Moments of another model are refused by the first step.
    pub fn resume(&mut self, step: u64, moments: Vec<Moments<F>>) {
        self.step = step;
        self.state = OptimizerState::from_moments(moments);
        self.seen_alive.clear();
    }

    /// Steps taken: the next one's number for [`Batches::batch`](crate::order::Batches::batch).
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The optimizer's memory, in the model's parameter order: what a checkpoint saves beside the
    /// step count and the parameters.
    pub fn moments(&self) -> &[Moments<F>] {
        self.state.moments()
    }

    /// The objective.
    pub fn objective(&self) -> &O {
        &self.objective
    }

    /// How it trains.
    pub fn options(&self) -> &TrainerOptions {
        &self.options
    }

    /// One optimizer step on the mean loss of `batch`.
    ///
    /// Gradients are accumulated over micro-batches, clipped by their global norm and applied.
    /// Every parameter must have had a nonzero gradient by the first step at which it can have one.
    ///
    /// # Errors
    /// If the model fails, a value is not finite or a parameter gets no gradient; then no parameter
    /// and no state has changed and the step does not count.
    pub fn step<M: Model<Float = F>>(
        &mut self,
        model: &mut M,
        batch: &[&Group],
    ) -> Result<StepReport, TrainError<M::Error>> {
        if batch.is_empty() {
            return Err(TrainError::EmptyBatch);
        }
        model.zero_grads();
        let mut totals = Totals::default();
        let mut any_weight = false;
        let mode = Mode::Train { seed: step_seed(self.options.seed, self.step) };
        for groups in self.micro_batches(batch) {
            any_weight |= self.accumulate(model, groups, mode, batch.len(), &mut totals)?;
            if let Some(bad) = gradients::non_finite(model) {
                return Err(self.blame(model, groups, mode, batch.len(), bad));
            }
        }
        let survey = Survey::new(model);
        survey.check_state(&self.state)?;
        let dead = survey.first_dead(&mut self.seen_alive);
        if let (true, Some(name)) = (any_weight, dead) {
            return Err(TrainError::DeadGradient { name: name.into(), step: self.step + 1 });
        }
        let lr = self.options.schedule.lr(self.step);
        self.update(model, lr, survey.norm);
        self.step += 1;
        Ok(totals.step(self.step, lr, survey.norm))
    }

    /// The losses of `groups`, without dropout, gradients or any change.
    ///
    /// # Errors
    /// If there are no groups, the model fails, or a value is not finite.
    pub fn evaluate<M: Model>(
        &self,
        model: &mut M,
        groups: &[&Group],
    ) -> Result<Evaluation, TrainError<M::Error>> {
        if groups.is_empty() {
            return Err(TrainError::EmptyBatch);
        }
        let mut totals = Totals::default();
        for groups in self.micro_batches(groups) {
            let evaluated = evaluate_examples(&self.objective, model, groups, Mode::Eval)?;
            self.add(&mut totals, groups, &evaluated);
        }
        Ok(totals.evaluation())
    }

    /// The micro-batches of a batch.
    fn micro_batches<'a, 'g>(&self, batch: &'a [&'g Group]) -> Vec<&'a [&'g Group]> {
        micro_batches(&self.objective, batch, self.options.micro_batch_tokens)
    }

    fn add(&self, totals: &mut Totals, groups: &[&Group], evaluated: &[EvaluatedExample]) {
        for (group, example) in groups.iter().zip(evaluated) {
            totals.add(group, self.objective.contexts(group.is_judged()), &example.loss);
        }
    }

    /// Runs one micro-batch forward and backward; whether any token of it has a weight.
    fn accumulate<M: Model>(
        &self,
        model: &mut M,
        groups: &[&Group],
        mode: Mode,
        batch_len: usize,
        totals: &mut Totals,
    ) -> Result<bool, TrainError<M::Error>> {
        let evaluated = evaluate_examples(&self.objective, model, groups, mode)?;
        let weights = micro_batch::dlog_probs(&self.objective, groups, &evaluated, batch_len);
        model.backward(&weights).map_err(TrainError::Model)?;
        self.add(totals, groups, &evaluated);
        Ok(weights.iter().any(|w| *w != 0.0))
    }

    /// Finds the example of a micro-batch that makes a gradient not finite, by running each alone.
    /// The step is lost already, so the gradients may be overwritten.
    fn blame<M: Model>(
        &self,
        model: &mut M,
        groups: &[&Group],
        mode: Mode,
        batch_len: usize,
        sum: NonFinite,
    ) -> TrainError<M::Error> {
        for group in groups {
            model.zero_grads();
            let alone = self.accumulate(model, &[group], mode, batch_len, &mut Totals::default());
            if let Err(error) = alone {
                return error;
            }
            if let Some(NonFinite { name, value }) = gradients::non_finite(model) {
                let quantity = Quantity::Gradient { name };
                return TrainError::NonFinite { example: group.index, quantity, value };
            }
        }
        let examples = groups.iter().map(|group| group.index).collect();
        TrainError::NonFiniteSum { name: sum.name, value: sum.value, examples }
    }

    /// Clips and applies the gradients.
    fn update<M: Model<Float = F>>(&mut self, model: &mut M, lr: f64, grad_norm: f64) {
        let coefficient = clip::coefficient(grad_norm, self.options.max_grad_norm);
        let (state, optimizer, t) = (&mut self.state, &self.options.optimizer, self.step + 1);
        let mut index = 0;
        model.visit_parameters(&mut |p| {
            clip::scale(p.grads, coefficient);
            state.update(optimizer, index, p.name, p.values, p.grads, lr, t);
            index += 1;
        });
    }
}
