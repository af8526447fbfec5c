//! The steps of a run, and what is saved of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use cutq_core::group::Group;
use cutq_core::objective::{AnyObjective, Objective};
use cutq_core::order::Batches;
use cutq_core::schedule::LrSchedule;
use cutq_core::trainer::{Evaluation, TrainError, Trainer, TrainerOptions};
use cutq_ffi::{Engine, EngineError, Waiting};

use super::examples::Examples;
use super::progress::Progress;
use crate::console::Console;
use crate::interrupt::Interrupt;
use crate::run::Settings;
use crate::run::{Checkpoint, Events, Log, Reading, RunFolder, State, StepLine, Summary};

/// How a run ended.
pub enum Outcome {
    /// All steps are done.
    Done(Box<Summary>),
    /// The user asked to stop; a checkpoint is saved.
    Interrupted,
}

/// A run in progress.
pub struct Training<'a> {
    settings: &'a Settings,
    examples: &'a Examples,
    folder: &'a RunFolder,
    engine: Engine,
    trainer: Trainer<AnyObjective>,
    batches: Batches,
    total_steps: u64,
    eval_before: Option<Evaluation>,
    log: Log,
    events: Events,
    console: Console,
    progress: Progress,
    interrupt: &'a Interrupt,
}

/// Examples of the training data that show before the first step whether the model reads criticism.
const PROBE: usize = 32;

impl<'a> Training<'a> {
    /// Begins a run, or resumes it from a checkpoint.
    ///
    /// # Errors
    /// A run's folder that cannot be written.
    pub fn new(
        settings: &'a Settings,
        examples: &'a Examples,
        folder: &'a RunFolder,
        engine: Engine,
        checkpoint: Option<Checkpoint>,
        interrupt: &'a Interrupt,
        console: Console,
    ) -> Result<Self> {
        let recipe = &settings.recipe;
        let batches = Batches::new(examples.train.len(), recipe.batch_size, recipe.seed)
            .expect("there are examples, and the batch size is at least 1");
        let total_steps = recipe.total_steps(batches.per_epoch());
        let (kind, lr) = (recipe.schedule, recipe.lr);
        let options = TrainerOptions {
            optimizer: recipe.optimizer(),
            schedule: LrSchedule::new(kind, lr, recipe.warmup_ratio, total_steps)?,
            max_grad_norm: recipe.max_grad_norm,
            micro_batch_tokens: settings.engine.micro_batch.expect("planned before the run"),
            seed: recipe.seed,
        };
        let mut trainer = Trainer::new(examples.objective, options);
        let mut eval_before = None;
        if let Some(checkpoint) = checkpoint {
            trainer.resume(checkpoint.state.step, checkpoint.moments);
            eval_before = checkpoint.state.eval_before;
        }
        let done = trainer.step_count();
        Ok(Self {
            log: Log::open(&folder.file("log.jsonl"), done)?,
            events: Events::create(folder.path(), done)?,
            progress: Progress::new(console, done, total_steps),
            interrupt,
            console,
            settings,
            examples,
            folder,
            engine,
            trainer,
            batches,
            total_steps,
            eval_before,
        })
    }

    /// What computes the run.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Does the steps that are left, then writes the adapter and the summary.
    ///
    /// # Errors
    /// A step that fails, a file that cannot be written.
    pub fn run(&mut self) -> Result<Outcome> {
        if self.trainer.step_count() == 0 {
            self.eval_before = self.evaluate()?;
            self.note_reading()?;
        }
        while self.trainer.step_count() < self.total_steps {
            self.step()?;
            let done = self.trainer.step_count();
            let interrupted = self.interrupt.is_asked();
            let due = done.is_multiple_of(self.settings.recipe.save_every as u64);
            if due || interrupted || done == self.total_steps {
                self.save_checkpoint()?;
            }
            if interrupted && done < self.total_steps {
                self.progress.finish();
                return Ok(Outcome::Interrupted);
            }
        }
        self.progress.finish();
        self.save_adapter()?;
        let eval_after = self.evaluate()?;
        let log = Log::read(&self.folder.file("log.jsonl"))?;
        let out = self.settings.out.display().to_string();
        let summary = Summary::new(&log, self.eval_before, eval_after, out)
            .context("the run's log has no steps")?;
        self.folder.write_json("summary.json", &summary)?;
        Ok(Outcome::Done(Box::new(summary)))
    }

    fn step(&mut self) -> Result<()> {
        let (started, mut waiting) = (Instant::now(), Waiting::start());
        let batch = self.batches.batch(self.trainer.step_count());
        let groups: Vec<&Group> = batch.iter().map(|&i| &self.examples.train[i]).collect();
        let report = self.trainer.step(&mut self.engine, &groups);
        let report =
            report.map_err(|error| located(error, self.examples, self.trainer.step_count()))?;
        let epoch = report.step as f64 / self.batches.per_epoch() as f64;
        let line = StepLine { report, epoch, seconds: started.elapsed().as_secs_f64() };
        self.log.append(&line)?;
        self.events.append(report.step, &scalars(&line))?;
        self.progress.step(&line, self.lost(waiting.lap()));
        Ok(())
    }

    /// The part of a step's time that it took because threads waited for a core, in seconds.
    fn lost(&self, waited: Option<Duration>) -> f64 {
        waited.map_or(0.0, |waited| waited.as_secs_f64() / self.settings.engine.threads as f64)
    }

    /// The held-out examples now; none without `--eval-split`.
    fn evaluate(&mut self) -> Result<Option<Evaluation>> {
        if self.examples.held_out.is_empty() {
            return Ok(None);
        }
        let groups: Vec<&Group> = self.examples.held_out.iter().collect();
        let eval = self.trainer.evaluate(&mut self.engine, &groups);
        let eval =
            eval.map_err(|error| located(error, self.examples, self.trainer.step_count()))?;
        let mut curves = vec![("eval/loss", eval.loss)];
        curves.extend(eval.judged_nll.map(|nll| ("eval/judged_nll", nll)));
        self.events.append(self.trainer.step_count(), &curves)?;
        Ok(Some(eval))
    }

    /// Says what the contrast finds of what the first judges quoted, if any did.
    fn note_reading(&mut self) -> Result<()> {
        let quoting = self.examples.train.iter().filter(|group| group.quoted.is_some());
        let groups: Vec<&Group> = quoting.take(PROBE).collect();
        let contexts = self.examples.objective.contexts(true);
        if groups.is_empty() || !(contexts.plain && contexts.judged) {
            return Ok(());
        }
        let eval = self.trainer.evaluate(&mut self.engine, &groups);
        let eval = eval.map_err(|error| located(error, self.examples, 0))?;
        eval.quotes.into_iter().for_each(|quotes| self.console.note(Reading(quotes)));
        Ok(())
    }

    fn save_checkpoint(&self) -> Result<()> {
        // The log first: a checkpoint without the steps before it could not be resumed.
        self.log.sync()?;
        let moments = self.trainer.moments();
        let state = State {
            step: self.trainer.step_count(),
            parameters: moments.iter().map(|moment| moment.name.clone()).collect(),
            eval_before: self.eval_before,
        };
        let adapter = self.engine.adapter();
        Checkpoint::save(self.folder, &state, moments, |path| Ok(adapter.save_gguf(path)?))?;
        Ok(())
    }

    fn save_adapter(&self) -> Result<()> {
        let adapter = self.engine.adapter();
        adapter.save_gguf(&self.settings.out).context("cannot save the adapter")?;
        if let Some(folder) = &self.settings.save_peft {
            let shape = self.engine.architecture();
            adapter.save_peft(folder, shape).context("cannot save the adapter for PEFT")?;
        }
        Ok(())
    }
}

/// The curves of one step.
fn scalars(line: &StepLine) -> Vec<(&'static str, f64)> {
    let report = &line.report;
    let mut scalars = vec![
        ("train/loss", report.loss),
        ("train/l1", report.l1),
        ("train/l2", report.l2),
        ("train/lr", report.lr),
        ("train/grad_norm", report.grad_norm),
        ("train/tokens_per_second", line.tokens_per_second()),
    ];
    let share = report.inappropriate_share();
    scalars.extend(share.map(|share| ("train/inappropriate_share", share)));
    scalars.extend(report.judged_nll.map(|nll| ("train/judged_nll", nll)));
    scalars
}

/// Adds the file and line of the example that an error names. After `steps` that have changed the
/// adapter, it may be the adapter that is at fault, and the example only the first to show it.
fn located(error: TrainError<EngineError>, examples: &Examples, steps: u64) -> Error {
    let overflows =
        matches!(&error, TrainError::NonFinite { .. } | TrainError::NonFiniteSum { .. });
    let indices = match &error {
        TrainError::NonFinite { example, .. } | TrainError::Loss { example, .. } => {
            vec![*example]
        }
        TrainError::NonFiniteSum { examples, .. } => examples.clone(),
        _ => Vec::new(),
    };
    let places: Vec<_> = indices
        .into_iter()
        .filter_map(|index| Some(format!("example {index} is {}", examples.origin(index)?)))
        .collect();
    let places = places.join(", ");
    match (places.is_empty(), overflows && steps > 0) {
        (true, _) => error.into(),
        (false, false) => Error::new(error).context(places),
        (false, true) => Error::new(error).context(format!(
            "{places}\nhint: after {steps} steps this may as well be the adapter, grown without \
             bound: lower --lr, or --max-grad-norm limits each step"
        )),
    }
}
