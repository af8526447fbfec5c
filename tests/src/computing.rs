//! The ways in which an engine can compute, all of which one suite of tests covers.

use std::io::Write;

use cutq_ffi::{Device, EngineOptions, Precision};

/// Where, and with which operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computing {
    /// On the CPU, by cutq's kernels.
    Kernels,
    /// On the CPU, with the operations that every device has.
    Portable,
    /// On the first device of a kind: `CUDA`, `Metal` or `Vulkan`.
    Device(&'static str),
}

impl Computing {
    /// The engine's options; `None` if there is no such device, which is then said on stderr.
    ///
    /// # Panics
    /// If the environment variable `CUTQ_REQUIRE` (kinds in lower case, by comma) demands the
    /// device and it is not there: a test that is asked for never passes unrun.
    pub fn options(self, precision: Precision) -> Option<EngineOptions> {
        let device = match self {
            Self::Kernels | Self::Portable => Device::cpu(),
            Self::Device(kind) => Self::device(kind)?,
        };
        let portable = self != Self::Kernels;
        Some(EngineOptions { device, portable, precision, ..EngineOptions::default() })
    }

    fn device(kind: &str) -> Option<Device> {
        let first = Device::find(kind);
        if let Err(reason) = &first {
            let required = std::env::var("CUTQ_REQUIRE").unwrap_or_default();
            let required = required.split(',').any(|name| name.trim().eq_ignore_ascii_case(kind));
            assert!(!required, "CUTQ_REQUIRE demands {kind}: {reason}");
            // Not eprintln!, which a passing test swallows.
            let line = format!("not run: {reason}\n");
            std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
        }
        first.ok()
    }
}
