//! The command line: a file per command, and one per group of flags that commands share.
//!
//! A group in which every flag has its value is what `config.json` saves, too: `ReadArgs`,
//! `ScreenArgs`, `SelectArgs` and `RecipeArgs`.

mod align;
mod bench;
mod choice;
mod data;
mod device;
mod devices;
mod engine;
mod finetune;
mod generate;
mod http;
mod inspect;
mod judge;
mod lora;
mod memory;
mod models;
mod objective;
mod plan;
mod prompt;
mod range;
mod read;
mod recipe;
mod sampling;
mod screen;
mod training;

pub use align::{AlignArgs, Carry, RoundArgs};
pub use bench::BenchArgs;
pub use data::DataArgs;
pub use device::DeviceArgs;
pub use devices::DevicesArgs;
pub use engine::{EngineArgs, PrecisionName};
pub use finetune::FinetuneArgs;
pub use generate::GenerateArgs;
pub use http::HttpArgs;
pub use inspect::InspectArgs;
pub use judge::{JudgeArgs, JudgingArgs};
pub use lora::{LoraArgs, target_modules};
pub use memory::MemoryArgs;
pub use models::ModelsArgs;
pub use objective::{ObjectiveArgs, Preset};
pub use plan::PlanArgs;
pub use prompt::PromptArgs;
pub use read::ReadArgs;
pub use recipe::{OptimizerName, RecipeArgs};
pub use sampling::{SamplingArgs, no_meaning};
pub use screen::{ScreenArgs, SelectArgs};
pub use training::TrainingArgs;

use clap::{Parser, Subcommand};

/// Fine-tunes quantized language models (GGUF) on written judgments
///
/// A judgment says in plain words what is wrong with a response. Contrastive Unlikelihood Training
/// learns from it which tokens of the response are inappropriate and makes only those less likely.
/// The result is a LoRA adapter that llama.cpp loads beside the unchanged model.
#[derive(Debug, Parser)]
#[command(
    name = "cutq",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted (a run can be resumed)."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a LoRA adapter on judgments
    Finetune(Box<FinetuneArgs>),
    /// Answer, judge and train in rounds, until there is no more gain
    // A round has about a hundred examples: more steps, and longer ones, than an epoch of a data set.
    #[command(mut_arg("lr", |arg| arg.default_value("6e-4")))]
    #[command(mut_arg("batch_size", |arg| arg.default_value("4")))]
    Align(Box<AlignArgs>),
    /// Show how data is understood: what is used, changed, left out or doubtful
    Data(DataArgs),
    /// Answer a prompt, or every prompt of a file, with or without an adapter
    Generate(Box<GenerateArgs>),
    /// Ask a judge what is wrong with answers
    Judge(Box<JudgeArgs>),
    /// Show which response tokens a judgment makes inappropriate
    Inspect(InspectArgs),
    /// Estimate a run's memory and speed before it starts
    Plan(Box<PlanArgs>),
    /// Measure reading and training speed and peak memory
    Bench(BenchArgs),
    /// List the model families that can be trained, and what others have that is missing
    Models(ModelsArgs),
    /// List the devices that can compute, and why others are missing
    Devices(DevicesArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
