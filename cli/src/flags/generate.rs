//! `cutq generate`.

use std::path::PathBuf;

use clap::Args;

use super::range::count;
use super::{DeviceArgs, MemoryArgs, SamplingArgs};
use crate::text::TemplateName;

/// What to answer, and how to sample.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The model, a GGUF file
    #[arg(value_name = "MODEL.gguf")]
    pub model: PathBuf,
    /// Answer with this adapter
    #[arg(long, value_name = "ADAPTER.gguf")]
    pub adapter: Option<PathBuf>,
    /// The instruction; `-` reads it from standard input
    #[arg(short, long, value_name = "TEXT", required_unless_present = "data")]
    pub prompt: Option<String>,
    /// A system message before it
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Answer twice, without the adapter and with it
    #[arg(long, requires = "adapter", conflicts_with = "data")]
    pub compare: bool,
    /// `paper`, `chat` (the model's own) or a Jinja file [default: chat if the model has one]
    #[arg(long, value_name = "paper|chat|FILE")]
    pub template: Option<TemplateName>,
    /// A Hugging Face tokenizer.json instead of the model's own tokenizer
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Print one JSON object with the prompt and the responses
    #[arg(long, conflicts_with = "data")]
    pub json: bool,
    /// Many prompts.
    #[command(flatten)]
    pub batch: BatchArgs,
    /// How answers are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Seed of the sampling [default: 42]
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    pub seed: Option<u32>,
    /// Where to compute, and with how many threads.
    #[command(flatten, next_help_heading = "Engine")]
    pub device: DeviceArgs,
    /// The budget.
    #[command(flatten)]
    pub memory: MemoryArgs,
}

/// Prompts from a file, answers into one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many prompts")]
pub struct BatchArgs {
    /// Prompts: JSON or JSON lines, also compressed (gzip, zstd), or Parquet; the fields of `cutq data`
    /// without a response
    #[arg(long, value_name = "FILE", conflicts_with = "prompt", requires = "out")]
    pub data: Option<PathBuf>,
    /// The answers, a line of JSON each, in the order of the prompts. They are kept in FILE.part until
    /// all are there; the same command goes on with them
    #[arg(long, value_name = "FILE", requires = "data")]
    pub out: Option<PathBuf>,
    /// Answers to each prompt [default: 1]
    #[arg(long, value_name = "N", requires = "data", value_parser = count)]
    pub n_samples: Option<usize>,
    /// Answers that are written at the same time [default: 32, or what fits into --memory]
    #[arg(long, value_name = "N", requires = "data", value_parser = count)]
    pub n_parallel: Option<usize>,
    /// Leave out notes and progress
    #[arg(long, requires = "data")]
    pub quiet: bool,
}
