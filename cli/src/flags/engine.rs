//! Flags about how the model is computed.

use bytesize::ByteSize;
use clap::Args;

use super::DeviceArgs;
use super::range::count;
use crate::run::PrecisionName;

/// Device, threads, arithmetic, memory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
    /// Arithmetic of the products with the model's weights
    #[arg(long, value_enum, default_value = "int8")]
    pub precision: PrecisionName,
    /// Examples share a pass up to this many tokens: more is faster and takes more memory [default:
    /// 1024, or what fits into --memory]
    #[arg(long, value_name = "TOKENS", value_parser = count)]
    pub micro_batch: Option<usize>,
}

/// How much memory a run may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct MemoryArgs {
    /// Most memory to take, the model's file included, such as 2GiB; a run that would exceed it does
    /// not start [default: half of what is available]
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    pub memory: Option<u64>,
}

fn memory(text: &str) -> Result<u64, String> {
    let bytes = text.parse::<ByteSize>().map_err(|_| "expected a size such as 800MB or 2GiB")?;
    if bytes.0 == 0 { Err("expected a positive size".into()) } else { Ok(bytes.0) }
}
