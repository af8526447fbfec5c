//! Flags about how an example is put before the model.

use std::path::PathBuf;

use clap::Args;

use super::range::count;
use crate::data::OnLong;
use crate::text::TemplateName;

/// Template, tokenizer, length.
#[derive(Debug, Args)]
#[command(next_help_heading = "Prompt")]
pub struct PromptArgs {
    /// `paper`, `chat` (the model's own) or a Jinja file [default: chat if the model has one]
    #[arg(long, value_name = "paper|chat|FILE")]
    pub template: Option<TemplateName>,
    /// A Hugging Face tokenizer.json instead of the model's own tokenizer
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Maximum tokens of a prompt and its response [default: 2048, or the model's context if that is
    /// shorter]
    #[arg(long, value_name = "TOKENS", value_parser = count)]
    pub max_length: Option<usize>,
    /// What to do with longer examples
    #[arg(long, value_enum, default_value = "truncate")]
    pub on_long: OnLong,
}
