//! Flags about where to compute.

use clap::Args;

/// The device.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Where to compute: `auto` for the fastest that works, `cpu`, `cuda`, `metal`, `vulkan`, or a name
    /// that `cutq devices` lists
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    pub name: String,
}
