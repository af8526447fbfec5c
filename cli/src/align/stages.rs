//! The five stages of a round, each in its folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::data::{self, Counts};
use super::drift::{Drift, Texts};
use super::effort::Effort;
use super::folder::{AlignFolder, copy};
use super::judged::Judged;
use super::judging::RunJudge;
use super::settings::Settings;
use super::stage::{ANSWERS, CALLS, DATA, Interrupted, JUDGMENTS, Stage};
use crate::console::Console;
use crate::data::Prompt;
use crate::interrupt::Interrupt;
use crate::run::{self, InputFile, RunFolder};
use crate::sampling::{self, Batch, Sampler, SamplerOptions, Sampling, Task};
use crate::session::model::{self, ModelFile};
use crate::text::{self, AnyTemplate, Encoder};
use crate::training::{Outcome, Run};

/// What stages work with.
pub struct Stages<'a> {
    /// The run's.
    pub settings: &'a Settings,
    /// The model.
    pub model: &'a ModelFile,
    /// Who judges.
    pub judge: &'a RunJudge,
    /// Where everything goes.
    pub folder: &'a AlignFolder,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// What is said meanwhile.
    pub console: Console,
}

/// Answers that a stage is to draw.
pub(super) struct Wanted<'a> {
    pub tasks: &'a [Task],
    pub sampling: Sampling,
    /// The round whose adapter answers; 0 is before training.
    pub round: usize,
}

const COUNTS: &str = "data.json";
const DRIFT: &str = "drift.json";

impl Stages<'_> {
    /// The adapter with which a round ends; of round 0 the initial one, if there is one.
    pub(super) fn adapter(&self, round: usize) -> Option<PathBuf> {
        match round {
            0 => self.settings.training.lora.init_adapter.as_ref().map(|file| file.path.clone()),
            round => Some(self.folder.adapter(round)),
        }
    }

    /// Draws answers into `work`.
    fn sample(&self, work: &Path, wanted: &Wanted<'_>) -> Result<()> {
        let (engine, adapter) = (&self.settings.training.engine, self.adapter(wanted.round));
        let options = SamplerOptions {
            n_threads: engine.threads,
            precision: engine.precision,
            n_predict: self.settings.n_predict,
            n_parallel: None,
            memory: engine.memory,
        };
        let name = format!("round {}", wanted.round);
        let batch = Batch {
            tasks: wanted.tasks,
            sampling: wanted.sampling,
            seed: self.settings.training.recipe.seed,
            adapter: adapter.is_some().then_some(name.as_str()),
            header: &json!({"adapter": name, "sampling": wanted.sampling}),
        };
        let mut sampler = Sampler::open(self.model, adapter.as_deref(), self.text()?, options)?;
        let stops = || self.interrupt.is_asked();
        match batch.run(&mut sampler, &work.join(ANSWERS), self.console, &stops)? {
            sampling::Outcome::Interrupted => Err(Interrupted.into()),
            sampling::Outcome::Done(totals) => {
                self.console.note(totals);
                Ok(())
            }
        }
    }

    /// Judges `answers` into `work`.
    fn judge(&self, work: &Path, answers: &Path) -> Result<()> {
        self.judge.judge(answers, work, self.console, &|| self.interrupt.is_asked())
    }

    /// The answers to train on in a round, drawn and judged; what was asked in the dry round is not asked
    /// again.
    pub(super) fn answers(&self, round: usize, wanted: &Wanted<'_>) -> Result<Vec<Judged>> {
        let (sample, judge) = (self.folder.sample(round), self.folder.judge(round));
        sample.run(|work| self.sample(work, wanted))?;
        judge.run(|work| {
            let (asked, calls) = (self.folder.dry().file(CALLS), work.join(CALLS));
            if round == 1 && asked.exists() && !calls.exists() {
                copy(&asked, &calls)?;
            }
            self.judge(work, &sample.file(ANSWERS))
        })?;
        Judged::read(&sample.file(ANSWERS), &judge.file(JUDGMENTS))
    }

    /// Chooses what a round trains on.
    pub(super) fn build(&self, round: usize, answers: &[Judged]) -> Result<Counts> {
        let stage = self.folder.data(round);
        stage.run(|work| self.select(work, round, answers))?;
        self.counts(&stage)
    }

    /// Chooses what a round trains on, into `work`.
    pub(super) fn select(&self, work: &Path, round: usize, answers: &[Judged]) -> Result<()> {
        let seed = self.settings.training.recipe.seed + round as u64;
        let (kept, counts) = data::select(answers, self.settings.rounds.positive_ratio, seed);
        data::write(&work.join(DATA), &kept)?;
        Ok(fs::write(work.join(COUNTS), serde_json::to_vec(&counts)?)?)
    }

    /// What became of the answers of which a stage chose.
    pub(super) fn counts(&self, stage: &Stage) -> Result<Counts> {
        read_json(&stage.file(COUNTS))
    }

    /// Trains a round's adapter on the data of `rounds`, from that of round `from`.
    pub(super) fn train(&self, round: usize, rounds: &[usize], from: usize) -> Result<()> {
        let stage = self.folder.train(round);
        stage.run(|work| {
            let run = match work.join("config.json").exists() {
                true => {
                    let (folder, settings) = RunFolder::open::<run::Settings>(work)?;
                    (Run::resume(settings, self.model, &folder, self.console)?, folder)
                }
                false => {
                    let data = |round: &usize| self.folder.data(*round).file(DATA);
                    let data: Vec<PathBuf> = rounds.iter().map(data).collect();
                    let settings = self.training(round, &data, from)?;
                    let run = Run::plan(settings, self.model, self.console)?;
                    let folder = RunFolder::create(work)?;
                    folder.begin(&run.settings)?;
                    (run, folder)
                }
            };
            let (run, folder) = run;
            match run.train(&folder, self.interrupt, self.console)? {
                Outcome::Interrupted => Err(Interrupted.into()),
                Outcome::Done(_) => Ok(()),
            }
        })
    }

    /// The settings of a round's training on these files, from the adapter of round `from`.
    pub(super) fn training(
        &self,
        round: usize,
        data: &[PathBuf],
        from: usize,
    ) -> Result<run::Settings> {
        let mut settings = self.settings.training.clone();
        settings.out = std::path::absolute(self.folder.adapter(round))?;
        settings.data.files =
            data.iter().map(|file| InputFile::whole(file)).collect::<Result<_>>()?;
        settings.lora.init_adapter =
            self.adapter(from).as_deref().map(InputFile::whole).transpose()?;
        // Another order of the data, and another dropout, than in the rounds before.
        settings.recipe.seed += round as u64;
        Ok(settings)
    }

    /// The evaluation of a round: greedy answers, judged, and how far the model is from its beginning.
    pub(super) fn evaluate(
        &self,
        round: usize,
        prompts: &[Prompt],
    ) -> Result<(Vec<Judged>, Drift)> {
        let stage = self.folder.eval(round);
        stage.run(|work| {
            self.answer_all(work, round, prompts)?;
            let answers = Judged::read(&work.join(ANSWERS), &work.join(JUDGMENTS))?;
            let drift = self.drift(round, prompts, &answers)?;
            Ok(fs::write(work.join(DRIFT), serde_json::to_vec(&drift)?)?)
        })?;
        self.folder.keep_evaluation(round, &stage.file(JUDGMENTS))?;
        let answers = Judged::read(&stage.file(ANSWERS), &stage.file(JUDGMENTS))?;
        Ok((answers, read_json(&stage.file(DRIFT))?))
    }

    /// The untouched prompts, answered by the model of a round.
    pub(super) fn test(&self, round: usize, prompts: &[Prompt]) -> Result<Vec<Judged>> {
        let stage = self.folder.test(round);
        stage.run(|work| self.answer_all(work, round, prompts))?;
        Judged::read(&stage.file(ANSWERS), &stage.file(JUDGMENTS))
    }

    /// Greedy answers to all prompts, judged, in `work`.
    fn answer_all(&self, work: &Path, round: usize, prompts: &[Prompt]) -> Result<()> {
        let tasks = Task::of(prompts, 1);
        self.sample_and_judge(work, &Wanted { tasks: &tasks, sampling: Sampling::GREEDY, round })
    }

    /// Draws answers into `work`, unless they are there, and judges them.
    pub(super) fn sample_and_judge(&self, work: &Path, wanted: &Wanted<'_>) -> Result<()> {
        if !work.join(ANSWERS).exists() {
            self.sample(work, wanted)?;
        }
        self.judge(work, &work.join(ANSWERS))
    }

    fn drift(&self, round: usize, prompts: &[Prompt], answers: &[Judged]) -> Result<Drift> {
        if round == 0 {
            return Ok(Drift::NONE);
        }
        let (template, encoder) = self.text()?;
        let texts = Texts::new(&template, &encoder, prompts, answers)?;
        let log_probs = |round: usize| {
            let adapter = self.model.adapter_or_none(self.adapter(round).as_deref())?;
            let engine = &self.settings.training.engine;
            let device = model::device(&engine.device, engine.threads, Console::new(true))?;
            let mut engine =
                self.model.engine(adapter, device, engine.threads, engine.precision)?;
            texts.log_probs(&mut engine)
        };
        Ok(Drift::new(&log_probs(0)?, &log_probs(round)?))
    }

    fn text(&self) -> Result<(AnyTemplate, Encoder)> {
        let prompt = &self.settings.training.prompt;
        let tokenizer = prompt.tokenizer.as_ref().map(|file| file.path.as_path());
        text::open(&self.model.gguf, Some(&prompt.template), tokenizer, prompt.now.parse()?)
    }

    /// What a round has taken.
    pub(super) fn effort(&self, round: usize) -> Result<Effort> {
        Effort::of(self.folder, round, self.judge.price)
    }

    /// The log of a round's training.
    pub(super) fn log(&self, round: usize) -> PathBuf {
        self.folder.train(round).file("log.jsonl")
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let Ok(value) = serde_json::from_slice(&text) else {
        bail!("{} is not what cutq writes", path.display());
    };
    Ok(value)
}
