//! The devices that ggml can compute on.

mod speed;

use std::ffi::CStr;
use std::fmt;

use crate::sys;

/// A device; its kind and its name are ggml's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// In ggml's registry, which does not change.
    index: usize,
}

/// Memory of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// What is not in use.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// A device that was asked for and is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "no device is called {name:?}; there are {known}\nhint: `cutq devices` says why others are missing"
)]
pub struct NoDevice {
    name: String,
    known: String,
}

/// A kind of device that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingDevices {
    /// Its name.
    pub backend: &'static str,
    /// Why there is none.
    pub reason: &'static str,
}

/// What ggml can be built for: a prefix of its devices' names, whether it is in this build, and why
/// there may be no device even so.
const BACKENDS: [(&str, bool, &str); 3] = [
    ("CUDA", cfg!(feature = "cuda"), "no NVIDIA GPU, or its driver does not answer"),
    ("Metal", cfg!(feature = "metal"), "no GPU that Metal knows"),
    (
        "Vulkan",
        cfg!(feature = "vulkan"),
        "no GPU with a Vulkan driver; a driver that computes on the CPU is found only if \
         GGML_VK_VISIBLE_DEVICES names it, such as 0",
    ),
];

impl Device {
    /// Every device, the CPU included.
    pub fn all() -> Vec<Self> {
        sys::capture_log();
        // SAFETY: plain look-ups in a registry.
        let n = unsafe { sys::ggml_backend_dev_count() };
        let all = (0..n).map(|index| Self { index });
        // The others are libraries that only help the CPU backend.
        let computes = |device: &Self| device.is_cpu() || device.is_gpu();
        all.filter(computes).collect()
    }

    /// The CPU.
    ///
    /// # Panics
    /// Never: every build of ggml has it.
    pub fn cpu() -> Self {
        let mut all = Self::all().into_iter();
        all.find(|device| device.is_cpu()).expect("every build of ggml has the CPU")
    }

    /// The device of this name, in any case; `cpu` is the CPU.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(name: &str) -> Result<Self, NoDevice> {
        let all = Self::all();
        let named = all.iter().find(|device| device.name().eq_ignore_ascii_case(name));
        named.copied().ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|device| device.name()).collect();
            NoDevice { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// The kinds of devices of which there is none, and why.
    pub fn missing() -> Vec<MissingDevices> {
        let names: Vec<_> = Self::all().iter().map(|device| device.name()).collect();
        // ggml calls Metal's devices MTL.
        let is = |name: &str, backend: &str| {
            name.starts_with(backend) || (backend == "Metal" && name.starts_with("MTL"))
        };
        let absent = BACKENDS.iter().filter(|b| !names.iter().any(|name| is(name, b.0)));
        let reason = |&(backend, built, none)| {
            let unbuilt = "this build of cutq leaves it out (cargo build --features …)";
            MissingDevices { backend, reason: if built { none } else { unbuilt } }
        };
        absent.map(reason).collect()
    }

    /// ggml's name, such as `CUDA0`; what `--device` takes.
    pub fn name(self) -> String {
        // SAFETY: the index is one of the registry's; names live as long as it.
        let name = unsafe { CStr::from_ptr(sys::ggml_backend_dev_name(self.raw())) };
        name.to_string_lossy().into_owned()
    }

    /// What the driver calls it.
    pub fn description(self) -> String {
        // SAFETY: as for the name.
        let text = unsafe { CStr::from_ptr(sys::ggml_backend_dev_description(self.raw())) };
        text.to_string_lossy().into_owned()
    }

    /// Its memory as the driver sees it now.
    pub fn memory(self) -> DeviceMemory {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the index is one of the registry's, the pointers are two numbers.
        unsafe { sys::ggml_backend_dev_memory(self.raw(), &raw mut free, &raw mut total) };
        DeviceMemory { free: free as u64, total: total as u64 }
    }

    /// Whether it is the CPU.
    pub fn is_cpu(self) -> bool {
        self.kind() == sys::GGML_BACKEND_DEVICE_TYPE_CPU
    }

    fn is_gpu(self) -> bool {
        let kinds = [sys::GGML_BACKEND_DEVICE_TYPE_GPU, sys::GGML_BACKEND_DEVICE_TYPE_IGPU];
        kinds.contains(&self.kind())
    }

    fn kind(self) -> sys::ggml_backend_dev_type {
        // SAFETY: the index is one of the registry's.
        unsafe { sys::ggml_backend_dev_type(self.raw()) }
    }

    pub(crate) fn raw(self) -> sys::ggml_backend_dev_t {
        // SAFETY: as above.
        unsafe { sys::ggml_backend_dev_get(self.index) }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.description())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there() {
        let cpu = Device::find("cpu").expect("the CPU");
        assert!(cpu.is_cpu() && cpu == Device::cpu());
        assert!(cpu.memory().total > 0);
    }

    #[test]
    fn a_device_is_there_or_missing_for_a_reason() {
        let missing = Device::missing();
        let there = Device::all().len() - 1;
        assert!(there + missing.len() >= BACKENDS.len(), "{missing:?}");
        let error = Device::find("Warp9").expect_err("no such device").to_string();
        assert!(error.contains("\"Warp9\"") && error.contains("CPU"), "{error}");
    }
}
