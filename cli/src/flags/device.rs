//! Flags about where to compute, and with how many threads.

use clap::Args;

use super::range::count;

/// The device and the threads.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Where to compute: `auto` for the fastest that works, `cpu`, `cuda`, `metal`, `vulkan`, or a name
    /// that `cutq devices` lists
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    pub name: String,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
}
