//! Memory of a backend, as tensors are placed in it.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::ggml::meter::Meter;
use crate::sys;

/// Memory of a backend.
#[derive(Debug)]
pub(crate) struct Buffer {
    raw: NonNull<sys::ggml_backend_buffer>,
    meter: Option<Rc<Meter>>,
}

impl Buffer {
    /// Memory that belongs to the value from now on, counted by `meter` if there is one.
    ///
    /// # Safety
    /// The buffer is alive and nothing else frees it.
    pub unsafe fn own(raw: NonNull<sys::ggml_backend_buffer>, meter: Option<Rc<Meter>>) -> Self {
        let buffer = Self { raw, meter };
        if let Some(meter) = &buffer.meter {
            meter.add_buffer(buffer.bytes());
        }
        buffer
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        // SAFETY: the buffer is alive.
        unsafe { sys::ggml_backend_buffer_get_size(self.raw.as_ptr()) }
    }

    /// Where its memory begins, which only its backend may read or write.
    pub fn base(&self) -> *mut u8 {
        // SAFETY: the buffer is alive.
        unsafe { sys::ggml_backend_buffer_get_base(self.raw.as_ptr()).cast() }
    }

    fn as_ptr(&self) -> *mut sys::ggml_backend_buffer {
        self.raw.as_ptr()
    }

    /// Puts a tensor into the buffer.
    ///
    /// # Safety
    /// The buffer has room for the tensor from `offset` on, and the offset is aligned.
    pub unsafe fn place(&self, tensor: NonNull<sys::ggml_tensor>, offset: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let at = self.base().wrapping_add(offset).cast::<c_void>();
            sys::ggml_backend_tensor_alloc(self.as_ptr(), tensor.as_ptr(), at);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.remove_buffer(self.bytes());
        }
        // SAFETY: the buffer belongs to this value alone and is freed once.
        unsafe { sys::ggml_backend_buffer_free(self.as_ptr()) }
    }
}
