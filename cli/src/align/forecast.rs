//! What a run will take: of everything as much for an answer as in the dry round.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};

use super::effort::Effort;
use super::rounds::Rounds;
use super::stage::DATA;
use crate::console::Console;
use crate::flags::{Carry, RecipeArgs, RoundArgs};
use crate::training::{Pace, Run};

/// What all rounds will take.
pub(super) struct Forecast {
    rounds: usize,
    /// Answers to train on, and those that measure.
    answers: usize,
    /// Answering and judging them.
    effort: Effort,
    training: Training,
}

/// What training on the answers will take.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Training {
    /// Of all steps of all rounds.
    tokens: f64,
    tok_per_s: f64,
}

impl Forecast {
    /// The forecast by the dry round's answers, `dry` of them, of which some can be trained on.
    ///
    /// # Errors
    /// Files that cannot be read; answers that cannot be trained on.
    pub fn new(rounds: &Rounds<'_>, dry: usize) -> Result<Self> {
        let (stages, limits) = (rounds.stages, rounds.stages.settings.rounds);
        let measured = rounds.eval.len() * (limits.rounds + 1) + 2 * rounds.test.len();
        let answers = limits.rounds * limits.samples_per_round + measured;
        let effort = Effort::of_stages(&[stages.folder.dry()], stages.judge.price)?;
        Ok(Self {
            rounds: limits.rounds,
            answers,
            effort: scaled(effort, answers as f64 / dry as f64),
            training: training(rounds, dry)?,
        })
    }

    /// Refuses a run that will cost too much.
    ///
    /// # Errors
    /// If it will.
    pub fn check(&self, max_cost: Option<f64>) -> Result<()> {
        match (self.effort.cost, max_cost) {
            (Some(cost), Some(max_cost)) if cost > max_cost => bail!(
                "the calls will cost about {cost:.2}, and --max-cost is {max_cost}\nhint: with a higher \
                 --max-cost the same command goes on; fewer --rounds or --samples-per-round need \
                 another --run-dir"
            ),
            _ => Ok(()),
        }
    }
}

fn scaled(effort: Effort, times: f64) -> Effort {
    Effort {
        calls: (effort.calls as f64 * times).round() as usize,
        cost: effort.cost.map(|cost| cost * times),
        seconds: effort.seconds * times,
    }
}

/// Plans a training run on what the dry round would train on, and measures its pace.
fn training(rounds: &Rounds<'_>, dry: usize) -> Result<Training> {
    let stages = rounds.stages;
    let settings = stages.training(1, &[stages.folder.dry().file(DATA)], 0)?;
    let pace = Run::plan(settings, stages.model, Console::new(true))?.pace()?;
    let settings = stages.settings;
    let tokens = tokens(&settings.training.recipe, settings.rounds, dry, pace);
    Ok(Training { tokens, tok_per_s: pace.tok_per_s })
}

/// Tokens of the steps of all rounds, if `pace` is that of what comes of `answers` answers.
fn tokens(recipe: &RecipeArgs, rounds: RoundArgs, answers: usize, pace: Pace) -> f64 {
    let of_a_round = pace.examples as f64 * rounds.samples_per_round as f64 / answers as f64;
    let round = |round: usize| {
        let examples = match rounds.carry {
            Carry::Adapter | Carry::None => of_a_round,
            Carry::Data => of_a_round * round as f64,
        };
        let per_epoch = (examples / recipe.batch_size as f64).ceil();
        let epochs = recipe.total_steps(per_epoch as u64) as f64 / per_epoch;
        epochs * examples * pace.tokens_per_example
    };
    (1..=rounds.rounds).map(round).sum()
}

/// Whole minutes, and one at least.
fn minutes(seconds: f64) -> humantime::FormattedDuration {
    let minutes = (seconds / 60.0).ceil().max(1.0);
    humantime::format_duration(Duration::from_secs(60 * minutes as u64))
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, answers, effort: Effort { calls, cost, seconds }, training } = self;
        let Training { tokens, tok_per_s } = training;
        let cost = cost.map_or(String::new(), |cost| format!(", cost {cost:.2}"));
        let training = tokens / tok_per_s;
        write!(
            f,
            "  {rounds} rounds, by the dry round: {answers} answers, {calls} calls{cost}: {}\n  \
             training on {tokens:.0} tokens at {tok_per_s:.0} tok/s, as measured on two layers: {}\n  \
             about {} in all",
            minutes(*seconds),
            minutes(training),
            minutes(seconds + training)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        recipe: RecipeArgs,
        #[command(flatten)]
        rounds: RoundArgs,
    }

    /// Of 20 answers 6 are trained on, each of 100 tokens.
    fn tokens_with(flags: &str) -> f64 {
        let line = std::iter::once("cutq").chain(flags.split_whitespace());
        let Line { recipe, rounds } = Line::try_parse_from(line).expect("parses");
        let pace = Pace { examples: 6, tokens_per_example: 100.0, tok_per_s: 50.0 };
        tokens(&recipe, rounds, 20, pace)
    }

    #[test]
    fn training_repeats_what_the_dry_round_would_train_on() {
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        // 96 answers: 28.8 examples in 4 steps.
        close(tokens_with(""), 4.0 * 2880.0);
        close(tokens_with("--epochs 3 --rounds 2"), 6.0 * 2880.0);
        close(tokens_with("--carry data"), 10.0 * 2880.0);
        close(tokens_with("--max-steps 2 --carry none"), 4.0 * 1440.0);
    }

    #[test]
    fn all_parts_are_said() {
        let forecast = Forecast {
            rounds: 4,
            answers: 480,
            effort: scaled(Effort { calls: 21, cost: Some(0.05), seconds: 70.0 }, 24.0),
            training: Training { tokens: 11_520.0, tok_per_s: 50.0 },
        };
        let expected = "  4 rounds, by the dry round: 480 answers, 504 calls, cost 1.20: 28m\n  training on \
            11520 tokens at 50 tok/s, as measured on two layers: 4m\n  about 32m in all";
        assert_eq!(forecast.to_string(), expected);
        assert!(forecast.check(Some(1.3)).is_ok() && forecast.check(None).is_ok());
        assert!(forecast.check(Some(1.0)).is_err());
    }
}
