//! `cutq finetune`.

use std::path::PathBuf;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};

use super::{ReadArgs, ScreenArgs, SelectArgs, TrainingArgs};
use crate::data::Task;
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
    /// Resume an interrupted run; everything else is taken from it
    #[arg(long, value_name = "RUN_DIR")]
    pub resume: Option<PathBuf>,
    /// Print errors only, and the lines that --skip-bad-lines leaves out
    #[arg(long)]
    pub quiet: bool,
    /// Judgments: JSON or JSON lines, also compressed (gzip, zstd), or Parquet; `-` is standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "resume", help_heading = "Data")]
    pub data: Vec<PathBuf>,
    /// How it is read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// What is doubtful.
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// How much of it.
    #[command(flatten)]
    pub select: SelectArgs,
    /// What is learned: to answer, or to judge answers, by likelihood (the paper's Figure 9). An adapter
    /// that judges serves as `cutq judge --judge MODEL.gguf+ADAPTER.gguf`
    #[arg(long, value_enum, default_value = "answer")]
    pub task: Task,
    /// What becomes of it.
    #[command(flatten)]
    pub training: TrainingArgs,
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
