//! Flags about training, of every command that trains.

use clap::Args;

use super::{EngineArgs, LoraArgs, MemoryArgs, ObjectiveArgs, PromptArgs, RecipeArgs};

/// What is minimized, how, and where.
#[derive(Debug, Args)]
pub struct TrainingArgs {
    /// How an example is put before the model.
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// What is minimized.
    #[command(flatten)]
    pub objective: ObjectiveArgs,
    /// The adapter.
    #[command(flatten)]
    pub lora: LoraArgs,
    /// The steps.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// How it is computed.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The budget.
    #[command(flatten)]
    pub memory: MemoryArgs,
}
