//! `cutq generate`.

use std::path::PathBuf;

use clap::Args;

use super::DeviceArgs;
use super::range::{count, non_negative, share};
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
    #[arg(short, long, value_name = "TEXT")]
    pub prompt: String,
    /// A system message before it
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Answer twice, without the adapter and with it
    #[arg(long, requires = "adapter")]
    pub compare: bool,
    /// `paper`, `chat` (the model's own) or a Jinja file [default: chat if the model has one]
    #[arg(long, value_name = "paper|chat|FILE")]
    pub template: Option<TemplateName>,
    /// A Hugging Face tokenizer.json instead of the model's own tokenizer
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Maximum tokens to generate
    #[arg(short, long, value_name = "TOKENS", default_value = "256", value_parser = count)]
    pub n_predict: usize,
    /// Sampling temperature; 0 always takes the likeliest token
    #[arg(long, alias = "temp", value_name = "T", default_value = "0", value_parser = non_negative)]
    pub temperature: f64,
    /// Sample among the likeliest tokens that together have this probability [default: 1]
    #[arg(long, value_name = "P", value_parser = share)]
    pub top_p: Option<f64>,
    /// Sample among this many likeliest tokens [default: all]
    #[arg(long, value_name = "K", value_parser = count)]
    pub top_k: Option<usize>,
    /// Seed of the sampling [default: 42]
    #[arg(long, value_name = "N")]
    pub seed: Option<u32>,
    /// Where to compute, and with how many threads.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Print one JSON object with the prompt and the responses
    #[arg(long)]
    pub json: bool,
}
