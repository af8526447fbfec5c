//! Flags about how the model is computed.

use clap::{Args, ValueEnum};
use cutq_ffi::Precision;
use serde::{Deserialize, Serialize};

use super::DeviceArgs;
use super::range::count;

/// Arithmetic of the products with the model's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionName {
    /// Blocks of 8-bit integers: fast
    Int8,
    /// 32-bit floating point: exact and slower
    F32,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::Int8 => Self::Int8,
            PrecisionName::F32 => Self::F32,
        }
    }
}

/// Device and threads, arithmetic, tokens in a pass.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Where to compute, and with how many threads.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Arithmetic of the products with the model's weights
    #[arg(long, value_enum, default_value = "int8")]
    pub precision: PrecisionName,
    /// Examples share a pass up to this many tokens: more is faster and takes more memory [default:
    /// 1024, or what fits into --memory]
    #[arg(long, value_name = "TOKENS", value_parser = count)]
    pub micro_batch: Option<usize>,
}
