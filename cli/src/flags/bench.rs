//! `cutq bench`.

use std::path::PathBuf;

use clap::Args;

use super::range::count;
use super::{DeviceArgs, MemoryArgs, PrecisionName};

/// What to measure.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The models, GGUF files; each is measured in a process of its own
    #[arg(value_name = "MODEL.gguf", required = true)]
    pub models: Vec<PathBuf>,
    /// Tokens per sequence; half of them are targets
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(4..))]
    pub tokens: u32,
    /// Sequences per step
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    pub batch: usize,
    /// Measurements, of which the median counts, after one to warm up
    #[arg(long, value_name = "N", default_value = "3", value_parser = count)]
    pub repetitions: usize,
    /// Tokens to generate, as `cutq generate` does; 0 measures no generation
    #[arg(short, long, value_name = "N", default_value = "0")]
    pub n_gen: u32,
    /// Prompts to answer at the same time, 128 tokens each, by as many; 0 measures no sampling
    #[arg(long, value_name = "N", default_value = "0")]
    pub n_parallel: usize,
    /// Projections to adapt, by comma, or `all`
    #[arg(long, value_name = "LIST", default_value = "ffn_gate,ffn_up,ffn_down")]
    pub target_modules: String,
    /// Where to compute, and with how many threads.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Arithmetic of the products with the model's weights
    #[arg(long, value_enum, default_value = "int8")]
    pub precision: PrecisionName,
    /// Sequences share a pass up to this many tokens [default: all of a step, or what fits into
    /// --memory]
    #[arg(long, value_name = "TOKENS", value_parser = count)]
    pub micro_batch: Option<usize>,
    /// Print one JSON object per model, a line each
    #[arg(long)]
    pub json: bool,
    /// The budget.
    #[command(flatten)]
    pub memory: MemoryArgs,
}
