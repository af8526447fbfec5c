//! Flags about training: steps, learning rate, optimizer.

use clap::{Args, ValueEnum};
use cutq_core::optimizer::{AdamW, Optimizer, Sgd};
use cutq_core::schedule::Schedule;
use serde::{Deserialize, Serialize};

use super::choice::{Choice, choice};
use super::range::{count, non_negative, positive, share};

/// How the learning rate falls.
const SCHEDULES: &[Choice<Schedule>] = &[
    ("constant", "Not at all", Schedule::Constant),
    ("linear", "To 0, in a straight line", Schedule::Linear),
    ("cosine", "To 0, along half a cosine", Schedule::Cosine),
];

/// Which optimizer; its parameters are flags of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay
    Adamw,
    /// Plain gradient descent
    Sgd,
}

impl OptimizerName {
    /// Bytes of state per parameter: two moments in `f32`, or none.
    pub fn bytes_per_parameter(self) -> usize {
        match self {
            Self::Adamw => 2 * size_of::<f32>(),
            Self::Sgd => 0,
        }
    }
}

/// How the adapter is trained; in this form it is saved, too.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Training")]
pub struct RecipeArgs {
    /// Peak learning rate
    #[arg(long, value_name = "LR", default_value = "4e-4", value_parser = positive)]
    pub lr: f64,
    /// How the learning rate falls after warm-up
    #[arg(long, value_parser = choice(SCHEDULES), default_value = "cosine")]
    pub schedule: Schedule,
    /// Share of the steps over which the learning rate rises
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    pub warmup_ratio: f64,
    /// Decoupled weight decay
    #[arg(long, value_name = "X", default_value = "0", value_parser = non_negative)]
    pub weight_decay: f64,
    /// Passes over the data [default: 1]
    #[arg(long, value_name = "N", value_parser = count)]
    pub epochs: Option<usize>,
    /// Optimizer steps: the data is repeated as needed; with --epochs, whichever ends first
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_steps: Option<usize>,
    /// Examples per optimizer step
    #[arg(long, value_name = "N", default_value = "8", value_parser = count)]
    pub batch_size: usize,
    /// Clip the gradient to this norm; 0 for no limit
    #[arg(long, value_name = "NORM", default_value = "1", value_parser = non_negative)]
    pub max_grad_norm: f64,
    /// Update rule
    #[arg(long, value_enum, default_value = "adamw")]
    pub optimizer: OptimizerName,
    /// Seed of the initial weights, the order of the data, dropout and every choice of examples
    #[arg(long, value_name = "N", default_value = "42")]
    pub seed: u64,
    /// Steps from one checkpoint to the next
    #[arg(long, value_name = "STEPS", default_value = "10", value_parser = count)]
    pub save_every: usize,
}

impl RecipeArgs {
    /// Steps of the whole run, given those of one pass over the data.
    ///
    /// `max_steps` alone repeats the data as needed; with `epochs`, whichever ends first.
    pub fn total_steps(&self, per_epoch: u64) -> u64 {
        let by_epochs = self.epochs.map(|epochs| epochs as u64 * per_epoch);
        match (self.max_steps.map(|steps| steps as u64), by_epochs) {
            (None, by_epochs) => by_epochs.unwrap_or(per_epoch),
            (Some(steps), None) => steps,
            (Some(steps), Some(by_epochs)) => steps.min(by_epochs),
        }
    }

    /// The update rule.
    pub fn optimizer(&self) -> Optimizer {
        let weight_decay = self.weight_decay;
        match self.optimizer {
            OptimizerName::Adamw => Optimizer::AdamW(AdamW { weight_decay, ..AdamW::default() }),
            OptimizerName::Sgd => Optimizer::Sgd(Sgd { weight_decay }),
        }
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
    }

    #[test]
    fn steps_follow_from_epochs_and_max_steps() {
        let total = |flags: &str| {
            let line = std::iter::once("cutq").chain(flags.split_whitespace());
            Line::try_parse_from(line).expect("parses").recipe.total_steps(10)
        };
        assert_eq!(total(""), 10);
        assert_eq!(total("--epochs 3"), 30);
        assert_eq!(total("--max-steps 25"), 25);
        assert_eq!(total("--epochs 1 --max-steps 25"), 10);
        assert_eq!(total("--epochs 3 --max-steps 25"), 25);
    }
}
