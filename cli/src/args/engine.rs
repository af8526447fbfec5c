//! Flags about how the model is computed.

use clap::Args;

use super::range::count;
use crate::settings::PrecisionName;

/// Threads, arithmetic, memory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
    /// Arithmetic of the products with the model's weights
    #[arg(long, value_enum, default_value = "int8")]
    pub precision: PrecisionName,
    /// Examples share a pass up to this many tokens: more is faster and takes more memory
    #[arg(long, value_name = "TOKENS", default_value = "1024", value_parser = count)]
    pub micro_batch: usize,
}
