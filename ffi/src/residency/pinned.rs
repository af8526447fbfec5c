//! A queue into a device's memory beside its computations, out of pinned memory.

use std::ptr::NonNull;

use crate::ggml::buffer::Buffer;
use crate::ggml::device::Device;
use crate::sys;

/// A queue of its own into a device's memory, out of pinned memory of the host.
pub(crate) struct PinnedQueue {
    backend: NonNull<sys::ggml_backend>,
    pinned: Buffer,
    bytes: usize,
}

// SAFETY: the backend and the buffer are used by one thread at a time, behind a mutex, and belong
// to no thread.
unsafe impl Send for PinnedQueue {}

impl PinnedQueue {
    /// A queue for layers of up to `bytes` bytes; `None` if the driver has no pinned memory, or
    /// none left.
    pub fn open(device: Device, bytes: usize) -> Option<Self> {
        // SAFETY: plain constructors, whose results belong to the value built below.
        unsafe {
            let kind = sys::ggml_backend_dev_host_buffer_type(device.raw());
            let kind = NonNull::new(kind)?;
            let pinned = sys::ggml_backend_buft_alloc_buffer(kind.as_ptr(), bytes);
            let pinned = Buffer::own(NonNull::new(pinned)?, None);
            let backend = sys::ggml_backend_dev_init(device.raw(), std::ptr::null());
            Some(Self { backend: NonNull::new(backend)?, pinned, bytes })
        }
    }

    /// Begins to copy `bytes` to a tensor through the pinned memory from `start` on; returns where
    /// the next tensor may start.
    ///
    /// # Safety
    /// The tensor is in a buffer of the queue's device, has as many bytes, and nothing reads it
    /// before [`PinnedQueue::finish`] has returned.
    pub unsafe fn send(
        &self,
        tensor: NonNull<sys::ggml_tensor>,
        bytes: &[u8],
        start: usize,
    ) -> usize {
        let end = start + bytes.len();
        assert!(end <= self.bytes, "{end} bytes of {}", self.bytes);
        // SAFETY: the range lies in the pinned memory, which nothing uses before `finish`: each
        // tensor has a range of its own.
        unsafe {
            let pinned = self.pinned.base().add(start);
            pinned.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            let (backend, tensor) = (self.backend.as_ptr(), tensor.as_ptr());
            sys::ggml_backend_tensor_set_async(backend, tensor, pinned.cast(), 0, bytes.len());
        }
        end
    }

    /// Waits for everything that was sent.
    pub fn finish(&self) {
        // SAFETY: the backend is alive.
        unsafe { sys::ggml_backend_synchronize(self.backend.as_ptr()) }
    }
}

impl Drop for PinnedQueue {
    fn drop(&mut self) {
        // SAFETY: the backend belongs to this value alone and is freed once.
        unsafe { sys::ggml_backend_free(self.backend.as_ptr()) }
    }
}
