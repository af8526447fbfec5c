//! How an engine computes.

use std::num::NonZeroUsize;

use cutq_kernels::Precision;

use crate::ggml::device::Device;
use crate::residency::retention::Retention;

/// How an [`Engine`](crate::Engine) computes.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Where it computes.
    pub device: Device,
    /// Whether the CPU computes with the operations that every device has, instead of its own
    /// kernels: slower, for comparisons. Other devices always do.
    pub portable: bool,
    /// Threads, at least one; all available ones by default.
    pub n_threads: usize,
    /// Arithmetic of the products with frozen weights.
    pub precision: Precision,
    /// What layers retain from pass to pass.
    pub retention: Retention,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let n_threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            device: Device::cpu(),
            portable: false,
            n_threads,
            precision: Precision::Int8,
            retention: Retention::default(),
        }
    }
}
