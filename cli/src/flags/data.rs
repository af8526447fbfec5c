//! `cutq data`.

use std::path::PathBuf;

use clap::Args;

use super::{PromptArgs, ReadArgs, ScreenArgs};

/// What to look at.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Judgments: JSON or JSON lines, also compressed (gzip, zstd), or Parquet; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Also show what becomes of the examples for this model: tokens, cuts, prompts
    #[arg(long, value_name = "MODEL.gguf")]
    pub model: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// How it is read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// What is doubtful.
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// How it is put before the model.
    #[command(flatten)]
    pub prompt: PromptArgs,
}
