//! Where graphs run.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use cutq_kernels::Pool;

use crate::ggml::buffer::Buffer;
use crate::ggml::device::Device;
use crate::ggml::graph::Graph;
use crate::ggml::graph::custom::lend_pool;
use crate::ggml::meter::Meter;
use crate::ggml::operation::Operation;
use crate::ggml::threads::Threads;
use crate::sys;

/// Why a graph did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The device cannot be started.
    #[error("{device} cannot be started: {reason}")]
    Start {
        /// The device.
        device: String,
        /// What ggml logged.
        reason: String,
    },
    /// Memory ran out.
    #[error("out of memory on {device}: {bytes} bytes could not be allocated")]
    OutOfMemory {
        /// The device.
        device: String,
        /// Bytes asked for.
        bytes: usize,
    },
    /// The device lacks an operation.
    #[error("{device} cannot compute this model: it has no {operation}")]
    Unsupported {
        /// The device.
        device: String,
        /// The operation with its types.
        operation: String,
    },
    /// ggml reports a failure.
    #[error("{device} failed to compute a graph (status {status}): {reason}")]
    Compute {
        /// The device.
        device: String,
        /// ggml's status.
        status: i32,
        /// What it logged.
        reason: String,
    },
}

/// A device, with memory for a graph's intermediate tensors; the CPU has threads of its own.
pub(crate) struct Backend {
    device: Device,
    /// Replaced by [`Backend::forget_freed`].
    raw: Cell<NonNull<sys::ggml_backend>>,
    allocator: NonNull<sys::ggml_gallocr>,
    /// What computes ggml's own operations, on the CPU; dropped after the backend is freed.
    _threads: Option<Threads>,
    /// What divides the operations of this project's kernels.
    pool: Cell<Option<Pool>>,
    meter: Rc<Meter>,
}

impl Backend {
    /// A device; `n_threads` are the CPU's.
    pub fn open(device: Device, n_threads: usize) -> Result<Self, BackendError> {
        sys::capture_log();
        let failed =
            || BackendError::Start { device: device.to_string(), reason: sys::last_error() };
        // SAFETY: plain constructors; what they return is owned by the value built below.
        unsafe {
            let raw = start(device)?;
            let mut threads = None;
            if device.is_cpu() {
                let own = Threads::new(n_threads).ok_or_else(failed)?;
                sys::ggml_backend_cpu_set_n_threads(raw.as_ptr(), own.n());
                sys::ggml_backend_cpu_set_threadpool(raw.as_ptr(), own.as_ptr());
                threads = Some(own);
            }
            let kind = sys::ggml_backend_get_default_buffer_type(raw.as_ptr());
            let allocator = NonNull::new(sys::ggml_gallocr_new(kind)).ok_or_else(failed)?;
            let (raw, pool, meter) = (Cell::new(raw), Cell::new(None), Rc::default());
            Ok(Self { device, raw, allocator, _threads: threads, pool, meter })
        }
    }

    /// The CPU with threads of this project, which divide its kernels' operations; ggml computes
    /// its own on one of them.
    ///
    /// ggml's threads meet at a barrier after every node, where they spin: when the system gives a
    /// core to another program, all of them wait for the one that was on it.
    pub fn with_pool(n_threads: usize) -> Result<Self, BackendError> {
        let backend = Self::open(Device::cpu(), 1)?;
        let failed = |error: std::io::Error| BackendError::Start {
            device: backend.device.to_string(),
            reason: error.to_string(),
        };
        backend.pool.set(Some(Pool::new(n_threads).map_err(failed)?));
        Ok(backend)
    }

    pub fn device(&self) -> Device {
        self.device
    }

    fn as_ptr(&self) -> *mut sys::ggml_backend {
        self.raw.get().as_ptr()
    }

    fn buffer_type(&self) -> sys::ggml_backend_buffer_type_t {
        // SAFETY: the backend is alive.
        unsafe { sys::ggml_backend_get_default_buffer_type(self.as_ptr()) }
    }

    /// Tensors begin at multiples of this, in bytes.
    pub fn alignment(&self) -> usize {
        // SAFETY: the backend is alive, and its buffer type with it.
        unsafe { sys::ggml_backend_buft_get_alignment(self.buffer_type()) }
    }

    /// Bytes that the tensor takes, its padding included.
    pub fn tensor_bytes(&self, tensor: NonNull<sys::ggml_tensor>) -> usize {
        // SAFETY: backend and tensor are alive.
        unsafe { sys::ggml_backend_buft_get_alloc_size(self.buffer_type(), tensor.as_ptr()) }
    }

    /// Memory for tensors that outlive a graph.
    pub fn allocate(&self, bytes: usize) -> Result<Buffer, BackendError> {
        // SAFETY: the backend is alive.
        let raw = unsafe { sys::ggml_backend_alloc_buffer(self.as_ptr(), bytes.max(1)) };
        let raw = NonNull::new(raw).ok_or_else(|| self.out_of_memory(bytes))?;
        // SAFETY: nothing else knows the buffer.
        Ok(unsafe { Buffer::own(raw, Some(self.meter.clone())) })
    }

    /// What of this backend's memory is allocated, by tensors that outlive graphs and by graphs.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Restarts the device after a buffer was freed that graphs may have used.
    ///
    /// ggml's Vulkan backend binds what an operation uses to a set of twelve buffers, and what an
    /// earlier one used stays bound in the rest of the set. That is allowed, but Mesa's software
    /// driver (22.3) looks at all twelve, freed ones too, and crashes. Memory is freed when it has
    /// to grow, in the first passes, so that restarts take no time that counts.
    fn forget_freed(&self) -> Result<(), BackendError> {
        if self.meter.take_freed() && self.device.name().starts_with("Vulkan") {
            let old = self.raw.replace(start(self.device)?);
            // SAFETY: nothing refers to it any more: graphs and memory belong to the device.
            unsafe { sys::ggml_backend_free(old.as_ptr()) };
        }
        Ok(())
    }

    fn out_of_memory(&self, bytes: usize) -> BackendError {
        BackendError::OutOfMemory { device: self.device.to_string(), bytes }
    }

    /// Bytes that [`Backend::run`] allocates for the graph's intermediate tensors.
    pub fn graph_bytes(&self, graph: &Graph) -> usize {
        let mut bytes = 0;
        // SAFETY: the graph is alive; an allocator of its own plans it, without memory. Null
        // pointers put every node into the only buffer, whose size is written to `bytes`.
        unsafe {
            let (allocator, null) = (sys::ggml_gallocr_new(self.buffer_type()), std::ptr::null());
            sys::ggml_gallocr_reserve_n_size(allocator, graph.as_ptr(), null, null, &raw mut bytes);
            sys::ggml_gallocr_free(allocator);
        }
        bytes
    }

    /// The first operation of the graph that the device lacks.
    fn first_unsupported(&self, graph: &Graph) -> Option<Operation> {
        // SAFETY: node and backend are alive.
        let supported = |node: &&sys::ggml_tensor| unsafe {
            sys::ggml_backend_supports_op(self.as_ptr(), &raw const **node)
        };
        graph.nodes().find(|node| !supported(node)).map(Operation::new)
    }

    /// Allocates the graph's tensors, writes its inputs and runs it; the memory is reused by the
    /// next graph, so results must be read before.
    pub fn run(&self, graph: &Graph) -> Result<(), BackendError> {
        if let Some(operation) = self.first_unsupported(graph) {
            let (device, operation) = (self.device.to_string(), operation.to_string());
            return Err(BackendError::Unsupported { device, operation });
        }
        // SAFETY: the graph is alive, and so is everything its nodes refer to.
        unsafe {
            // Reserving plans this graph by itself; without it the plan of an earlier one is taken
            // if its sizes fit, even where tensors live longer in this one.
            let (allocator, raw) = (self.allocator.as_ptr(), graph.as_ptr());
            if !sys::ggml_gallocr_reserve(allocator, raw)
                || !sys::ggml_gallocr_alloc_graph(allocator, raw)
            {
                return Err(self.out_of_memory(self.graph_bytes(graph)));
            }
            self.meter.set_graphs(sys::ggml_gallocr_get_buffer_size(allocator, 0));
            self.forget_freed()?;
            graph.write_inputs();
            let status = lend_pool(&self.pool, || {
                sys::ggml_backend_graph_compute(self.as_ptr(), graph.as_ptr())
            });
            if status == sys::GGML_STATUS_SUCCESS {
                return Ok(());
            }
            let device = self.device.to_string();
            Err(BackendError::Compute { device, status, reason: sys::last_error() })
        }
    }
}

fn start(device: Device) -> Result<NonNull<sys::ggml_backend>, BackendError> {
    // SAFETY: the device is one of the registry's; it takes no parameters.
    let raw = unsafe { sys::ggml_backend_dev_init(device.raw(), std::ptr::null()) };
    let reason = || BackendError::Start { device: device.to_string(), reason: sys::last_error() };
    NonNull::new(raw).ok_or_else(reason)
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: each was created in `open` and is freed once.
        unsafe {
            sys::ggml_gallocr_free(self.allocator.as_ptr());
            sys::ggml_backend_free(self.as_ptr());
        }
    }
}
