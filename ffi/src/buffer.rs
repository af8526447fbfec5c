//! Tensors that outlive a graph: checkpoints, adapters, and weights in the memory map.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::backend::{Backend, BackendError};
use crate::gguf::{Gguf, TensorInfo};
use crate::sys;

/// A tensor in a [`Buffer`] or in the memory map; valid as long as the memory it was made with.
#[derive(Debug)]
pub(crate) struct Tensor {
    raw: NonNull<sys::ggml_tensor>,
    _memory: Rc<Memory>,
}

/// A ggml context with its backend buffer, freed with the last tensor in it.
#[derive(Debug)]
struct Memory {
    ctx: NonNull<sys::ggml_context>,
    buffer: *mut sys::ggml_backend_buffer,
    /// Keeps the map alive that the buffer points into.
    _map: Option<Gguf>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: both came from ggml, belong to this value alone and are freed once.
        unsafe {
            sys::ggml_backend_buffer_free(self.buffer);
            sys::ggml_free(self.ctx.as_ptr());
        }
    }
}

impl Tensor {
    pub fn as_ptr(&self) -> *mut sys::ggml_tensor {
        self.raw.as_ptr()
    }

    fn header(&self) -> &sys::ggml_tensor {
        // SAFETY: the context lives as long as `memory`.
        unsafe { self.raw.as_ref() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.header().ne.iter().product::<i64>() as usize
    }

    /// Writes `data` from element `start` on.
    pub fn write(&self, start: usize, data: &[f32]) {
        assert!(self.header().type_ == sys::GGML_TYPE_F32 && start + data.len() <= self.len());
        let bytes = size_of_val(data);
        // SAFETY: the range lies within an allocated F32 tensor.
        unsafe {
            sys::ggml_backend_tensor_set(self.as_ptr(), data.as_ptr().cast(), start * 4, bytes);
        }
    }

    /// Fills the tensor with zeros.
    pub fn zero(&self) {
        // SAFETY: the range is the whole tensor.
        unsafe {
            let bytes = sys::ggml_nbytes(self.as_ptr());
            sys::ggml_backend_tensor_memset(self.as_ptr(), 0, 0, bytes);
        }
    }
}

/// Reads a result of a graph that has run.
pub(crate) fn read(node: crate::graph::Node<'_>) -> Vec<f32> {
    let mut out = vec![0.0f32; node.ne().iter().product()];
    let bytes = size_of_val(out.as_slice());
    // SAFETY: the node was marked as output, so it is allocated, computed, F32 and without gaps.
    unsafe { sys::ggml_backend_tensor_get(node.as_ptr(), out.as_mut_ptr().cast(), 0, bytes) };
    out
}

/// Allocates F32 tensors of the given sizes (fastest dimension first) on the backend.
pub(crate) fn allocate(
    backend: &Backend,
    shapes: &[[usize; 2]],
) -> Result<Vec<Tensor>, BackendError> {
    let ctx = context(shapes.len());
    let raw: Vec<_> = shapes.iter().map(|&[n0, n1]| new_f32(ctx, n0, n1)).collect();
    // SAFETY: the context holds the tensors above, none of them allocated yet.
    let buffer = unsafe { sys::ggml_backend_alloc_ctx_tensors(ctx.as_ptr(), backend.as_ptr()) };
    if buffer.is_null() {
        // SAFETY: nothing else refers to the context.
        unsafe { sys::ggml_free(ctx.as_ptr()) };
        let bytes = shapes.iter().map(|[a, b]| a * b * 4).sum();
        return Err(BackendError::OutOfMemory { bytes });
    }
    let memory = Rc::new(Memory { ctx, buffer, _map: None });
    Ok(raw.into_iter().map(|raw| Tensor { raw, _memory: memory.clone() }).collect())
}

/// The tensor `info` of `gguf`, pointing into the map: nothing is copied.
pub(crate) fn map(gguf: &Gguf, info: &TensorInfo) -> Tensor {
    let ctx = context(1);
    let ne = info.ne.map(|n| n as i64);
    let data = gguf.data(info).as_ptr().cast_mut().cast::<c_void>();
    let (start, len) = (gguf.map().as_ptr().cast_mut().cast::<c_void>(), gguf.map().len());
    // SAFETY: the buffer spans the map, which `Memory` keeps alive and nothing writes to; the
    // tensor's data lies within it, as `Gguf::open` checked.
    unsafe {
        let raw = sys::ggml_new_tensor(ctx.as_ptr(), info.ggml_type, 4, ne.as_ptr());
        let raw = NonNull::new(raw).expect("the context was sized for the tensor");
        let buffer = sys::ggml_backend_cpu_buffer_from_ptr(start, len);
        (*raw.as_ptr()).data = data;
        (*raw.as_ptr()).buffer = buffer;
        let memory = Rc::new(Memory { ctx, buffer, _map: Some(gguf.clone()) });
        Tensor { raw, _memory: memory }
    }
}

fn context(n_tensors: usize) -> NonNull<sys::ggml_context> {
    // SAFETY: with `no_alloc` the context holds `n_tensors` headers and nothing else.
    let raw = unsafe {
        sys::ggml_init(sys::ggml_init_params {
            mem_size: n_tensors * sys::ggml_tensor_overhead(),
            mem_buffer: std::ptr::null_mut(),
            no_alloc: true,
        })
    };
    NonNull::new(raw).expect("memory for tensor headers")
}

fn new_f32(ctx: NonNull<sys::ggml_context>, n0: usize, n1: usize) -> NonNull<sys::ggml_tensor> {
    // SAFETY: the context is alive.
    let raw =
        unsafe { sys::ggml_new_tensor_2d(ctx.as_ptr(), sys::GGML_TYPE_F32, n0 as i64, n1 as i64) };
    NonNull::new(raw).expect("the context was sized for the tensor")
}
