//! `cutq inspect`.

use std::path::PathBuf;

use clap::Args;

use super::{EngineArgs, ObjectiveArgs, PromptArgs, ReadArgs, ScreenArgs};

/// What to look at.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The model, a GGUF file
    #[arg(value_name = "MODEL.gguf")]
    pub model: PathBuf,
    /// Apply this adapter to the model
    #[arg(long, value_name = "ADAPTER.gguf")]
    pub adapter: Option<PathBuf>,
    /// Print one JSON object per example
    #[arg(long, conflicts_with = "probs")]
    pub json: bool,
    /// Also list every token with its probability in both contexts
    #[arg(long)]
    pub probs: bool,
    /// Judgments: JSON or JSON lines, also compressed (gzip, zstd), or Parquet; `-` is standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required = true, help_heading = "Data")]
    pub data: Vec<PathBuf>,
    /// How it is read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// What is doubtful.
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// How it is put before the model.
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// What makes a token inappropriate.
    #[command(flatten)]
    pub objective: ObjectiveArgs,
    /// How it is computed.
    #[command(flatten)]
    pub engine: EngineArgs,
}
