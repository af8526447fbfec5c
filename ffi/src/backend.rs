//! Where graphs run.

use std::ptr::NonNull;

use crate::buffer::Buffer;
use crate::graph::Graph;
use crate::sys;

/// Why a graph did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The backend cannot be started.
    #[error("the CPU backend cannot be started: {0}")]
    Start(String),
    /// Memory ran out.
    #[error(
        "out of memory: {bytes} bytes could not be allocated (hint: lower --micro-batch or --max-length)"
    )]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// ggml reports a failure.
    #[error("ggml failed to compute a graph (status {status}): {reason}")]
    Compute {
        /// ggml's status.
        status: i32,
        /// What it logged.
        reason: String,
    },
}

/// The CPU, with threads of its own and memory for a graph's intermediate tensors.
pub(crate) struct Backend {
    raw: NonNull<sys::ggml_backend>,
    allocator: NonNull<sys::ggml_gallocr>,
    threads: NonNull<sys::ggml_threadpool>,
}

impl Backend {
    /// The CPU with `n_threads` threads.
    pub fn cpu(n_threads: usize) -> Result<Self, BackendError> {
        sys::capture_log();
        let n_threads = i32::try_from(n_threads).unwrap_or(i32::MAX).clamp(1, 512);
        let failed = || BackendError::Start(sys::last_error());
        // SAFETY: plain constructors; what they return is owned by the value built below.
        unsafe {
            let mut params = sys::ggml_threadpool_params_default(n_threads);
            let threads =
                NonNull::new(sys::ggml_threadpool_new(&raw mut params)).ok_or_else(failed)?;
            let raw = NonNull::new(sys::ggml_backend_cpu_init()).ok_or_else(failed)?;
            sys::ggml_backend_cpu_set_n_threads(raw.as_ptr(), n_threads);
            sys::ggml_backend_cpu_set_threadpool(raw.as_ptr(), threads.as_ptr());
            let kind = sys::ggml_backend_get_default_buffer_type(raw.as_ptr());
            let allocator = NonNull::new(sys::ggml_gallocr_new(kind)).ok_or_else(failed)?;
            Ok(Self { raw, allocator, threads })
        }
    }

    pub fn as_ptr(&self) -> *mut sys::ggml_backend {
        self.raw.as_ptr()
    }

    /// Memory for tensors that outlive a graph.
    pub fn allocate(&self, bytes: usize) -> Result<Buffer, BackendError> {
        // SAFETY: the backend is alive.
        let raw = unsafe { sys::ggml_backend_alloc_buffer(self.as_ptr(), bytes.max(1)) };
        NonNull::new(raw).map(Buffer).ok_or(BackendError::OutOfMemory { bytes })
    }

    /// Bytes that [`Backend::run`] allocates for the graph's intermediate tensors.
    pub fn graph_bytes(&self, graph: &Graph) -> usize {
        let mut bytes = 0;
        // SAFETY: the graph is alive; an allocator of its own plans it, without memory. Null
        // pointers put every node into the only buffer, whose size is written to `bytes`.
        unsafe {
            let kind = sys::ggml_backend_get_default_buffer_type(self.as_ptr());
            let (allocator, null) = (sys::ggml_gallocr_new(kind), std::ptr::null());
            sys::ggml_gallocr_reserve_n_size(allocator, graph.as_ptr(), null, null, &raw mut bytes);
            sys::ggml_gallocr_free(allocator);
        }
        bytes
    }

    /// Allocates the graph's tensors, writes its inputs and runs it; the memory is reused by the
    /// next graph, so results must be read before.
    pub fn run(&self, graph: &Graph) -> Result<(), BackendError> {
        // SAFETY: the graph is alive, and so is everything its nodes refer to.
        unsafe {
            // Reserving plans this graph anew; without it the plan of an earlier one is taken if its
            // sizes fit, even where tensors live longer in this one.
            let (allocator, raw) = (self.allocator.as_ptr(), graph.as_ptr());
            if !sys::ggml_gallocr_reserve(allocator, raw)
                || !sys::ggml_gallocr_alloc_graph(allocator, raw)
            {
                let bytes = sys::ggml_gallocr_get_buffer_size(self.allocator.as_ptr(), 0);
                return Err(BackendError::OutOfMemory { bytes });
            }
            graph.write_inputs();
            let status = sys::ggml_backend_graph_compute(self.as_ptr(), graph.as_ptr());
            if status == sys::GGML_STATUS_SUCCESS {
                return Ok(());
            }
            Err(BackendError::Compute { status, reason: sys::last_error() })
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: each was created in `cpu` and is freed once, the users before the threads.
        unsafe {
            sys::ggml_gallocr_free(self.allocator.as_ptr());
            sys::ggml_backend_free(self.as_ptr());
            sys::ggml_threadpool_free(self.threads.as_ptr());
        }
    }
}
