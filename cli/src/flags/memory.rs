//! The flag about memory.

use bytesize::ByteSize;
use clap::Args;

/// How much memory a run may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct MemoryArgs {
    /// Memory budget, such as 2GiB, the model's file included: a run that would exceed it does not
    /// start [default: half of what is available]
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    pub memory: Option<u64>,
}

fn memory(text: &str) -> Result<u64, String> {
    let bytes = text.parse::<ByteSize>().map_err(|_| "expected a size such as 800MB or 2GiB")?;
    if bytes.0 == 0 { Err("expected a positive size".into()) } else { Ok(bytes.0) }
}
