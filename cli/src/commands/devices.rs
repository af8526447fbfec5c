//! `cutq devices`: the devices that can compute, and why others are missing.

use std::process::ExitCode;

use anyhow::Result;
use cutq_ffi::{Device, DeviceMemory};
use serde::Serialize;

use crate::flags::DevicesArgs;
use crate::output;
use crate::session::memory::size;

/// What the command prints.
#[derive(Serialize)]
struct Report {
    devices: Vec<Found>,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
struct Found {
    name: String,
    description: String,
    memory_free_bytes: u64,
    memory_total_bytes: u64,
}

#[derive(Serialize)]
struct Missing {
    backend: &'static str,
    reason: String,
}

/// Runs the command.
pub fn devices(args: &DevicesArgs) -> Result<ExitCode> {
    let report = Report::new();
    output::print_as(args.json, &report, || report.table())?;
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn new() -> Self {
        let found = |device: Device| {
            let DeviceMemory { free, total } = device.memory();
            Found {
                name: device.name(),
                description: device.description(),
                memory_free_bytes: free,
                memory_total_bytes: total,
            }
        };
        let missing = Device::missing().into_iter();
        Self {
            devices: Device::all().into_iter().map(found).collect(),
            missing: missing.map(|m| Missing { backend: m.backend, reason: m.reason }).collect(),
        }
    }

    fn table(&self) -> String {
        let found = self.devices.iter().map(|device| {
            let Found { name, description, memory_free_bytes, memory_total_bytes } = device;
            let (free, total) = (size(*memory_free_bytes), size(*memory_total_bytes));
            format!("{name:8}  {description}, {free} of {total} free\n")
        });
        let missing =
            self.missing.iter().map(|m| format!("{:8}  missing: {}\n", m.backend, m.reason));
        found.chain(missing).collect()
    }
}
