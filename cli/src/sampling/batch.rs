//! From tasks to the file of answers.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::answer::{self, Answered, Drawn};
use super::part::PartFile;
use super::progress::Progress;
use super::sampler::Sampler;
use super::seed::seed;
use super::settings::Sampling;
use super::task::Task;
use crate::console::Console;

/// Answers to draw, and how.
pub struct Batch<'a> {
    /// Which.
    pub tasks: &'a [Task],
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Together with prompt and number of the sample it gives the answer's.
    pub seed: u64,
    /// What the answers' lines call the adapter.
    pub adapter: Option<&'a str>,
    /// Everything that the answers depend on.
    pub header: &'a Value,
}

/// How drawing ended.
#[derive(Debug)]
pub enum Outcome {
    /// All answers are there.
    Done(Totals),
    /// The user asked to stop; the answers so far are kept.
    Interrupted,
}

/// What was drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Answers.
    pub answers: usize,
    /// Of them cut at the most tokens that they could have.
    pub truncated: usize,
    /// Of them without any text.
    pub empty: usize,
    /// Tokens of all.
    pub tokens: usize,
}

impl Batch<'_> {
    /// Draws what is missing of the answers, and writes `out` once all are there; `stops` is asked
    /// before every token.
    ///
    /// # Errors
    /// A prompt that cannot be put before the model or is too long for it; files that cannot be
    /// written, or answers that were begun under another header.
    pub fn run(
        &self,
        sampler: &mut Sampler,
        out: &Path,
        console: Console,
        stops: &dyn Fn() -> bool,
    ) -> Result<Outcome> {
        let mut part = PartFile::open(out, self.header)?;
        let missing: Vec<&Task> = self.tasks.iter().filter(|task| !part.has(&task.id)).collect();
        let prompts = self.prompts(sampler, &missing)?;
        let seeds: Vec<u64> = prompts.iter().map(|(_, seed)| *seed).collect();
        let kept = self.tasks.len() - missing.len();
        let mut progress = Progress::new(console, kept, self.tasks.len());
        if !prompts.is_empty() {
            sampler.sample(prompts, &self.sampling, stops, &mut |index, completion| {
                let (seed, temperature) = (seeds[index], self.sampling.temperature);
                let drawn = Drawn { seed, temperature, adapter: self.adapter };
                let task = missing[index];
                part.append(&task.id, &answer::line(task, &completion, &drawn))?;
                progress.add(completion.tokens);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if self.tasks.iter().any(|task| !part.has(&task.id)) {
            return Ok(Outcome::Interrupted);
        }
        let totals = Totals::of(part.answers());
        part.finish(out, self.tasks.iter().map(|task| task.id.as_str()))?;
        Ok(Outcome::Done(totals))
    }

    /// The prompts' tokens, each with the seed of its answer.
    fn prompts(&self, sampler: &Sampler, tasks: &[&Task]) -> Result<Vec<(Vec<u32>, u64)>> {
        let prompt = |task: &&Task| {
            let rendered = sampler.render(&task.example);
            let (text, prompt) = rendered.with_context(|| format!("prompt {:?}", task.id))?;
            Ok((prompt, seed(self.seed, &text, task.sample)))
        };
        tasks.iter().map(prompt).collect()
    }
}

impl Totals {
    /// The totals of these answers.
    pub fn of(answers: impl Iterator<Item = Answered>) -> Self {
        let mut totals = Self::default();
        for answer in answers {
            totals.answers += 1;
            totals.tokens += answer.tokens;
            totals.truncated += usize::from(answer.truncated);
            totals.empty += usize::from(answer.output.trim().is_empty());
        }
        totals
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, truncated, empty, tokens } = *self;
        let mean = tokens as f64 / answers.max(1) as f64;
        write!(f, "{answers} answers, {truncated} truncated, {empty} empty, {mean:.1} tokens each")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_count_what_is_not_as_it_should_be() {
        let answer = |output: &str, tokens, truncated| Answered {
            id: String::new(),
            output: output.to_owned(),
            tokens,
            truncated,
        };
        let answers = [answer("a", 4, true), answer(" \n", 1, false), answer("b", 4, false)];
        let text = Totals::of(answers.into_iter()).to_string();
        assert_eq!(text, "3 answers, 1 truncated, 1 empty, 3.0 tokens each");
    }
}
