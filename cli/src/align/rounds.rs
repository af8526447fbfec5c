//! Round after round, the best of them, and the end.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::diagnosis;
use super::effort::Effort;
use super::instructions;
use super::interval::Interval;
use super::judged::Judged;
use super::line::{RoundLine, Unlearned};
use super::measures::{Measures, paired};
use super::stages::{Stages, Wanted};
use crate::data::Prompt;
use crate::flags::Carry;
use crate::sampling::Task;

/// The rounds of a run.
pub struct Rounds<'a> {
    /// What they are made of.
    pub stages: &'a Stages<'a>,
    /// Prompts to train on.
    pub instructions: Vec<Prompt>,
    /// Prompts that choose the best round.
    pub eval: Vec<Prompt>,
    /// Prompts that choose nothing; may be empty.
    pub test: Vec<Prompt>,
}

/// What is known after some rounds.
struct Progress {
    lines: Vec<RoundLine>,
    /// Before training.
    first: Measures,
    best: Best,
    /// Rounds since the best one.
    without_gain: usize,
}

/// The round that is chosen so far.
struct Best {
    round: usize,
    answers: Vec<Judged>,
}

/// `test.json`: what the best round brings on prompts that chose nothing.
#[derive(Serialize)]
struct Test {
    best_round: usize,
    before: TestSide,
    after: TestSide,
    /// 95 % interval of the difference, prompt by prompt.
    delta_ci95: Option<Interval>,
}

#[derive(Serialize)]
struct TestSide {
    pass_rate: Option<f64>,
    ci95: Option<Interval>,
    mean_response_tokens: f64,
    distinct2: Option<f64>,
    empty: usize,
    truncated: usize,
}

impl Rounds<'_> {
    /// Does what is left of the run.
    ///
    /// # Errors
    /// No signal in the dry round; a stage that fails; an interrupt.
    pub fn run(&self) -> Result<()> {
        self.dry()?;
        let mut progress = self.before_training()?;
        let limits = self.stages.settings.rounds;
        for round in 1..=limits.rounds {
            let Some((line, answers)) = self.round(round, &progress)? else { break };
            self.choose(&mut progress, line, answers)?;
            if progress.without_gain >= limits.patience && round < limits.rounds {
                self.note(format!("stopped: {} rounds without a gain", progress.without_gain));
                break;
            }
        }
        self.end(&progress)
    }

    /// The tasks of a round.
    pub(super) fn tasks(&self, round: usize) -> Vec<Task> {
        let settings = self.stages.settings;
        let (n, seed) = (settings.rounds.samples_per_round, settings.training.recipe.seed);
        instructions::tasks(&self.instructions, n, round, seed)
    }

    /// Round 0.
    fn before_training(&self) -> Result<Progress> {
        self.note("round 0: evaluation before training".to_owned());
        let (answers, drift) = self.stages.evaluate(0, &self.eval)?;
        let first = Measures::of(&answers);
        let Effort { calls, cost, seconds } = self.stages.effort(0)?;
        let line = RoundLine::new(0, &first).with_drift(drift);
        let line = RoundLine { calls, cost, seconds, ..line };
        self.stages.folder.write_rounds(std::slice::from_ref(&line))?;
        self.report(&line, &[]);
        let best = Best { round: 0, answers };
        Ok(Progress { lines: vec![line], first, best, without_gain: 0 })
    }

    /// A round; none if there is nothing to train on.
    fn round(&self, round: usize, progress: &Progress) -> Result<Option<(RoundLine, Vec<Judged>)>> {
        self.announce(round, progress);
        let stages = self.stages;
        let tasks = self.tasks(round);
        let sampling = stages.settings.sampling;
        let wanted = Wanted { tasks: &tasks, sampling, round: round - 1 };
        let trained_on = stages.answers(round, &wanted)?;
        let counts = stages.build(round, &trained_on)?;
        if counts.negatives == 0 {
            self.note(format!("stopped: nothing was criticised in round {round}"));
            return Ok(None);
        }
        let (rounds, from) = match stages.settings.rounds.carry {
            Carry::Adapter => (vec![round], round - 1),
            Carry::Data => ((1..=round).collect(), 0),
            Carry::None => (vec![round], 0),
        };
        stages.train(round, &rounds, from)?;
        let (answers, drift) = stages.evaluate(round, &self.eval)?;
        let unlearned = Unlearned::read(&stages.log(round))?;
        let line = RoundLine::new(round, &Measures::of(&answers)).with_data(&counts);
        let line = line.with_drift(drift).with_unlearned(unlearned);
        let delta_best_ci95 = paired(&progress.best.answers, &answers);
        let Effort { calls, cost, seconds } = stages.effort(round)?;
        let line = RoundLine { delta_best_ci95, calls, cost, seconds, ..line };
        self.note(format!("  {}", diagnosis::sentence(&trained_on)));
        Ok(Some((line, answers)))
    }

    /// Keeps the round if it is better than the best so far, for sure and not by what alarms.
    fn choose(&self, progress: &mut Progress, line: RoundLine, answers: Vec<Judged>) -> Result<()> {
        let alarms = diagnosis::alarms(&progress.first, &Measures::of(&answers), &line);
        self.report(&line, &alarms);
        let is_gain = line.delta_best_ci95.is_some_and(Interval::is_gain) && alarms.is_empty();
        if is_gain {
            progress.best = Best { round: line.round, answers };
            self.stages.folder.keep_best(&self.stages.folder.adapter(line.round))?;
        }
        progress.without_gain = if is_gain { 0 } else { progress.without_gain + 1 };
        progress.lines.push(line);
        self.stages.folder.write_rounds(&progress.lines)
    }

    /// The untouched prompts, and what is left to say.
    fn end(&self, progress: &Progress) -> Result<()> {
        let (round, folder) = (progress.best.round, self.stages.folder);
        if !self.test.is_empty() {
            self.note(format!("test: {} untouched prompts", self.test.len()));
            let before = self.stages.test(0, &self.test)?;
            let after = self.stages.test(round, &self.test)?;
            let test = Test {
                best_round: round,
                before: TestSide::of(&before),
                after: TestSide::of(&after),
                delta_ci95: paired(&before, &after),
            };
            folder.write_json("test.json", &test)?;
            let rates = (rate(test.before.pass_rate), rate(test.after.pass_rate));
            let interval = bounds(test.delta_ci95);
            self.note(format!("  pass rate {} → {}{interval}", rates.0, rates.1));
        }
        match round {
            0 => self.note("no round is better than the model before training".to_owned()),
            _ => {
                let best = folder.file("best.gguf");
                self.note(format!("best: round {round}, {}", best.display()));
            }
        }
        Ok(())
    }

    fn announce(&self, round: usize, progress: &Progress) {
        let limits = self.stages.settings.rounds;
        let done: f64 = progress.lines[1..].iter().map(|line| line.seconds).sum();
        let left = match round {
            1 => String::new(),
            _ => {
                let each = done / (round - 1) as f64;
                let seconds = each * (limits.rounds + 1 - round) as f64;
                let time = Duration::from_secs(seconds.round() as u64);
                format!(", {} left", humantime::format_duration(time))
            }
        };
        self.note(format!("round {round}/{}{left}", limits.rounds));
        if instructions::repeats(self.instructions.len(), limits.samples_per_round, round) {
            self.note("  all prompts have been answered: again, with another seed".to_owned());
        }
    }

    fn report(&self, line: &RoundLine, alarms: &[String]) {
        let interval = bounds(line.delta_best_ci95);
        let tokens = line.mean_response_tokens;
        let distinct = line.distinct2.map_or("-".to_owned(), |share| format!("{share:.2}"));
        self.note(format!(
            "round {}: pass rate {}{interval}, {tokens:.0} tokens, distinct-2 {distinct}",
            line.round,
            rate(line.pass_rate)
        ));
        for alarm in alarms {
            self.stages.console.warn(format_args!("  alarm: {alarm}"));
        }
    }

    fn note(&self, text: String) {
        self.stages.console.note(text);
    }
}

impl TestSide {
    fn of(answers: &[Judged]) -> Self {
        let measures = Measures::of(answers);
        Self {
            pass_rate: measures.pass_rate(),
            ci95: measures.ci95(),
            mean_response_tokens: measures.mean_tokens,
            distinct2: measures.distinct2,
            empty: measures.empty,
            truncated: measures.truncated,
        }
    }
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or("unknown".to_owned(), |rate| format!("{rate:.2}"))
}

/// ` (+0.10 to +0.31 over the best)`, if it is known.
fn bounds(interval: Option<Interval>) -> String {
    interval.map_or(String::new(), |Interval(low, high)| {
        format!(" ({low:+.2} to {high:+.2} against the best before)")
    })
}
