//! `cutq align`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::range::{count, non_negative};
use super::{JudgingArgs, SamplingArgs, TrainingArgs};

/// What a round's training starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carry {
    /// The adapter of the round before; the round's own data
    Adapter,
    /// A new adapter; the data of all rounds so far
    Data,
    /// A new adapter; the round's own data
    None,
}

/// What to align, on which prompts, by whose judgment.
#[derive(Debug, Args)]
pub struct AlignArgs {
    /// The model, a GGUF file
    #[arg(value_name = "MODEL.gguf")]
    pub model: PathBuf,
    /// Prompts to train on, in the formats of `cutq generate --data`
    #[arg(long, value_name = "FILE")]
    pub instructions: PathBuf,
    /// Prompts that measure every round, and choose the best one
    #[arg(long, value_name = "FILE")]
    pub eval_instructions: PathBuf,
    /// Prompts that are answered once, at the end, and choose nothing
    #[arg(long, value_name = "FILE")]
    pub test_instructions: Option<PathBuf>,
    /// Where everything goes; the same command goes on with what is there
    #[arg(long, value_name = "DIR")]
    pub run_dir: PathBuf,
    /// Print errors only
    #[arg(long)]
    pub quiet: bool,
    /// Who judges.
    #[command(flatten)]
    pub judge: JudgingArgs,
    /// The rounds.
    #[command(flatten)]
    pub rounds: RoundArgs,
    /// How answers are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// How each round trains.
    #[command(flatten)]
    pub training: TrainingArgs,
}

/// How many rounds, and what each is made of; in this form it is saved, too.
#[derive(Clone, Copy, Debug, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Rounds")]
pub struct RoundArgs {
    /// Rounds at most
    #[arg(long, value_name = "N", default_value = "4", value_parser = count)]
    pub rounds: usize,
    /// Prompts that a round answers
    #[arg(long, value_name = "N", default_value = "96", value_parser = count)]
    pub samples_per_round: usize,
    /// Stop after this many rounds in a row without a gain
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    pub patience: usize,
    /// What a round's training starts from
    #[arg(long, value_enum, default_value = "adapter")]
    pub carry: Carry,
    /// Keep at most this many positives per negative
    #[arg(long, value_name = "RATIO", default_value = "1", value_parser = non_negative)]
    pub positive_ratio: f64,
}
