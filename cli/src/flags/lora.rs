//! Flags about the adapter.

use std::path::PathBuf;

use clap::Args;
use cutq_ffi::Projection;

use super::range::{count, partial_share, positive};
use crate::usage::UsageError;

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
    /// Dropout on the adapter's input
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = partial_share)]
    pub lora_dropout: f64,
    /// Projections to adapt, by comma, or `all`: attn_q, attn_k, attn_v, attn_output, ffn_gate,
    /// ffn_up, ffn_down [default: ffn_gate,ffn_up,ffn_down]; where a model has several in one matrix
    /// (attn_qkv, or gate and up in ffn_up), that one
    #[arg(long, value_name = "LIST")]
    pub target_modules: Option<String>,
    /// Start from this adapter instead of a new one
    #[arg(long, value_name = "ADAPTER.gguf")]
    pub init_adapter: Option<PathBuf>,
}

/// The projections that `--target-modules` lists.
///
/// # Errors
/// If it lists what is none.
pub fn target_modules(list: &str) -> Result<Vec<Projection>, UsageError> {
    Projection::parse_list(list)
        .map_err(|error| UsageError::new(format!("--target-modules: {error}")))
}
