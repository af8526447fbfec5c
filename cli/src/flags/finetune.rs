//! `cutq finetune`.

use std::path::PathBuf;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};

use super::range::{count, non_negative, partial_share, positive, share};
use super::{DataArgs, EngineArgs, MemoryArgs, ObjectiveArgs, PromptArgs, ScreenArgs};
use crate::run::{OptimizerName, ScheduleName};
use crate::usage::UsageError;

/// What to train, on what, how, and where the result goes.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// The model, a GGUF file
    #[arg(value_name = "MODEL.gguf", required_unless_present = "resume")]
    pub model: Option<PathBuf>,
    /// The adapter to write [default: MODEL-cut-lora.gguf here]
    #[arg(long, value_name = "ADAPTER.gguf")]
    pub out: Option<PathBuf>,
    /// Also write the adapter as PEFT safetensors into this folder
    #[arg(long, value_name = "DIR")]
    pub save_peft: Option<PathBuf>,
    /// Log, curves, checkpoints, summary [default: runs/MODEL-TIME beside the adapter]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Go on with a run that was interrupted; everything else is taken from it
    #[arg(long, value_name = "RUN_DIR")]
    pub resume: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(long)]
    pub quiet: bool,
    /// Judgments: JSON arrays or files with one JSON object per line
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "resume", help_heading = "Data")]
    pub data: Vec<PathBuf>,
    /// How it is read.
    #[command(flatten)]
    pub reading: DataArgs,
    /// Which of it.
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// How it is put before the model.
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

/// The adapter to train.
#[derive(Debug, Args)]
#[command(next_help_heading = "Adapter")]
pub struct LoraArgs {
    /// Rank [default: 16]
    #[arg(long, value_name = "N", value_parser = count)]
    pub r: Option<usize>,
    /// The update is scaled by lora_alpha / r [default: 16]
    #[arg(long, value_name = "X", value_parser = positive)]
    pub lora_alpha: Option<f64>,
    /// Share of the adapter's input that training drops
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = partial_share)]
    pub lora_dropout: f64,
    /// Projections to adapt, by comma, or `all`: attn_q, attn_k, attn_v, attn_output, ffn_gate,
    /// ffn_up, ffn_down [default: ffn_gate,ffn_up,ffn_down]
    #[arg(long, value_name = "LIST")]
    pub target_modules: Option<String>,
    /// Start from this adapter instead of a new one
    #[arg(long, value_name = "ADAPTER.gguf")]
    pub init_adapter: Option<PathBuf>,
}

/// The optimizer's steps.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct RecipeArgs {
    /// Peak learning rate
    #[arg(long, value_name = "LR", default_value = "4e-4", value_parser = positive)]
    pub lr: f64,
    /// How the learning rate falls after warm-up
    #[arg(long, value_enum, default_value = "cosine")]
    pub schedule: ScheduleName,
    /// Share of the steps over which the learning rate rises
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    pub warmup_ratio: f64,
    /// Decoupled weight decay
    #[arg(long, value_name = "X", default_value = "0", value_parser = non_negative)]
    pub weight_decay: f64,
    /// Passes over the data [default: 1]
    #[arg(long, value_name = "N", value_parser = count)]
    pub epochs: Option<usize>,
    /// Steps; the data is repeated as needed, with --epochs whichever ends first
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_steps: Option<usize>,
    /// Examples per optimizer step
    #[arg(long, value_name = "N", default_value = "8", value_parser = count)]
    pub batch_size: usize,
    /// Longer gradients are scaled down to this norm; 0 for no limit
    #[arg(long, value_name = "NORM", default_value = "1", value_parser = non_negative)]
    pub max_grad_norm: f64,
    /// Update rule
    #[arg(long, value_enum, default_value = "adamw")]
    pub optimizer: OptimizerName,
    /// Decides initial weights, data order, dropout and every choice of examples
    #[arg(long, value_name = "N", default_value = "42")]
    pub seed: u64,
    /// Write a checkpoint every so many steps
    #[arg(long, value_name = "STEPS", default_value = "10", value_parser = count)]
    pub save_every: usize,
}

impl FinetuneArgs {
    /// With `--resume` everything comes from the run's folder, so any other flag but `--quiet` is
    /// refused. Asks the parser which flags were typed: flags with defaults look the same otherwise.
    ///
    /// # Errors
    /// The first flag that was typed beside `--resume`.
    pub fn refuse_beside_resume(&self, matches: &ArgMatches) -> Result<()> {
        let Some(matches) =
            matches.subcommand_matches("finetune").filter(|_| self.resume.is_some())
        else {
            return Ok(());
        };
        let command = Self::augment_args(Command::new("finetune"));
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            let typed = matches.value_source(id) == Some(ValueSource::CommandLine);
            if typed && !["resume", "quiet"].contains(&id) {
                let flag = match arg.get_long() {
                    Some(long) => format!("--{long}"),
                    None => "MODEL.gguf".to_owned(),
                };
                return Err(UsageError::new(format!(
                    "{flag} cannot be used with --resume, which takes everything from the run's folder"
                ))
                .into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn refused(line: &str) -> Option<String> {
        let command =
            Command::new("cutq").subcommand(FinetuneArgs::augment_args(Command::new("finetune")));
        let words = ["cutq", "finetune"].into_iter().chain(line.split_whitespace());
        let matches = command.try_get_matches_from(words).expect("parses");
        let sub = matches.subcommand_matches("finetune").expect("is there");
        let args = FinetuneArgs::from_arg_matches(sub).expect("parses");
        args.refuse_beside_resume(&matches).err().map(|error| error.to_string())
    }

    #[test]
    fn resume_stands_alone() {
        assert_eq!(refused("--resume run"), None);
        assert_eq!(refused("--resume run --quiet"), None);
        assert_eq!(refused("m.gguf --data d.jsonl --lr 1"), None);
        for (line, flag) in [
            ("--resume run --data d.jsonl", "--data"),
            ("--resume run --lr 4e-4", "--lr"),
            ("--resume run --exclude-eos", "--exclude-eos"),
            ("m.gguf --resume run", "MODEL.gguf"),
        ] {
            let message = refused(line).expect(line);
            assert!(message.starts_with(&format!("{flag} cannot be used")), "{message}");
        }
    }
}
