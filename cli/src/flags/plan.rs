//! `cutq plan`.

use std::path::PathBuf;

use clap::Args;

use super::range::count;
use super::{EngineArgs, MemoryArgs, OptimizerName};

/// What would be run.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The model, a GGUF file
    #[arg(value_name = "MODEL.gguf")]
    pub model: PathBuf,
    /// Tokens of the longest prompt with its response [default: 2048, or the model's context if that
    /// is shorter]
    #[arg(long, value_name = "TOKENS", value_parser = count)]
    pub max_length: Option<usize>,
    /// Contexts in which an example is read: 2 for cut, 3 with a header-matched contrast, 1 for the
    /// other objectives
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub contexts: u8,
    /// Rank of the adapter
    #[arg(long, value_name = "R", default_value = "16", value_parser = count)]
    pub r: usize,
    /// Projections to adapt, by comma, or `all`
    #[arg(long, value_name = "LIST", default_value = "ffn_gate,ffn_up,ffn_down")]
    pub target_modules: String,
    /// Update rule
    #[arg(long, value_enum, default_value = "adamw")]
    pub optimizer: OptimizerName,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Threads, arithmetic, tokens in a pass.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The budget.
    #[command(flatten)]
    pub memory: MemoryArgs,
}
