//! The devices that ggml can compute on.

use std::ffi::CStr;
use std::fmt;
use std::sync::OnceLock;

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
#[non_exhaustive]
pub enum NoDevice {
    /// There is none of this kind.
    #[error("there is no {} device: {}; there are {known}", missing.backend, missing.reason)]
    Missing {
        /// The kind, and why.
        missing: MissingDevices,
        /// The devices that are there.
        known: String,
    },
    /// No device has this name.
    #[error("no device is called {name:?}; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The devices that are there.
        known: String,
    },
}

/// A kind of device that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingDevices {
    /// Its name.
    pub backend: &'static str,
    /// Why there is none.
    pub reason: String,
}

/// What ggml can be built for.
struct Kind {
    name: &'static str,
    /// What the names of its devices begin with.
    prefix: &'static str,
    /// Whether it is in this build.
    built: bool,
    /// Why it is not.
    unbuilt: &'static str,
    /// Why there may be no device even so.
    absent: &'static str,
}

const CUDA: Kind = Kind {
    name: "CUDA",
    prefix: "CUDA",
    built: cfg!(feature = "cuda"),
    unbuilt: "this build of cutq leaves it out (cargo build --features cuda)",
    absent: "no NVIDIA GPU, or its driver does not answer",
};

const KINDS: [Kind; 3] = [
    CUDA,
    Kind {
        name: "Metal",
        prefix: "MTL",
        // ggml builds it wherever it can.
        built: cfg!(target_os = "macos"),
        unbuilt: "only Macs have it",
        absent: "no GPU that Metal knows",
    },
    Kind {
        name: "Vulkan",
        prefix: "Vulkan",
        built: cfg!(feature = "vulkan"),
        unbuilt: "this build of cutq leaves it out (cargo build --features vulkan)",
        absent: "no GPU with a Vulkan driver; a driver that computes on the CPU is found only if \
                 GGML_VK_VISIBLE_DEVICES names it, such as 0",
    },
];

impl Kind {
    /// Why there is no device, given that there is none; with the driver's words if it had any.
    fn missing(&self) -> MissingDevices {
        let said = Device::complaint().split_once(&format!("failed to initialize {}: ", self.name));
        let reason = match (self.built, said) {
            (false, _) => self.unbuilt.to_owned(),
            (true, None) => self.absent.to_owned(),
            (true, Some((_, said))) => format!("{} ({said})", self.absent),
        };
        MissingDevices { backend: self.name, reason }
    }
}

impl Device {
    /// Every device, the CPU included.
    pub fn all() -> Vec<Self> {
        Self::complaint();
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

    /// The device of this name, or the first of this kind, in any case; `cpu` is the CPU.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(name: &str) -> Result<Self, NoDevice> {
        let all = Self::all();
        let kind = KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name));
        let asked = |device: &&Self| {
            let own = device.name();
            own.eq_ignore_ascii_case(name) || kind.is_some_and(|kind| own.starts_with(kind.prefix))
        };
        all.iter().find(asked).copied().ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|device| device.name()).collect();
            let known = known.join(", ");
            match kind {
                Some(kind) => NoDevice::Missing { missing: kind.missing(), known },
                None => NoDevice::Unknown { name: name.to_owned(), known },
            }
        })
    }

    /// The kinds of devices of which there is none, and why.
    pub fn missing() -> Vec<MissingDevices> {
        let names: Vec<_> = Self::all().iter().map(|device| device.name()).collect();
        let absent = |kind: &&Kind| !names.iter().any(|name| name.starts_with(kind.prefix));
        KINDS.iter().filter(absent).map(Kind::missing).collect()
    }

    /// What ggml complained of when it looked for devices, which it does once.
    fn complaint() -> &'static str {
        static COMPLAINT: OnceLock<String> = OnceLock::new();
        COMPLAINT.get_or_init(|| {
            sys::capture_log();
            sys::last_error();
            // SAFETY: a plain look-up in a registry, which the first one fills.
            unsafe { sys::ggml_backend_dev_count() };
            sys::last_error()
        })
    }

    /// ggml's name, such as `CUDA0`, by which [`Device::find`] finds it.
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

    /// Whether ggml's CUDA backend computes on it.
    pub(crate) fn is_cuda(self) -> bool {
        self.name().starts_with(CUDA.prefix)
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
        assert!(there + missing.len() >= KINDS.len(), "{missing:?}");
        let error = Device::find("Warp9").expect_err("no such device").to_string();
        assert!(error.contains("\"Warp9\"") && error.contains("CPU"), "{error}");
    }

    #[test]
    fn a_kind_is_found_or_missing_for_its_reason() {
        for MissingDevices { backend, reason } in Device::missing() {
            let error = Device::find(&backend.to_lowercase()).expect_err("it is missing");
            let expected = format!("no {backend} device: {reason}; there are ");
            assert!(error.to_string().contains(&expected), "{error}");
        }
        for device in Device::all().into_iter().filter(|device| !device.is_cpu()) {
            let kind = KINDS.iter().find(|kind| device.name().starts_with(kind.prefix));
            let kind = kind.expect("a known kind");
            let first = Device::find(kind.name).expect("one is there");
            assert!(first.name().starts_with(kind.prefix));
        }
    }
}
