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

/// A ggml context and the memory of its tensors, freed with the last of them.
#[derive(Debug)]
struct Memory {
    ctx: NonNull<sys::ggml_context>,
    _buffer: Rc<Buffer>,
    /// Keeps the map alive that the buffer points into.
    _map: Option<Gguf>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the context belongs to this value alone and is freed once.
        unsafe { sys::ggml_free(self.ctx.as_ptr()) }
    }
}

/// Memory of a backend.
#[derive(Debug)]
pub(crate) struct Buffer(pub NonNull<sys::ggml_backend_buffer>);

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the buffer belongs to this value alone and is freed once.
        unsafe { sys::ggml_backend_buffer_free(self.0.as_ptr()) }
    }
}

/// Where tensors of an [`Arena`] begin: at multiples of so many bytes, which every device allows.
const ALIGNMENT: usize = 256;

/// Memory that pass after pass uses again, as large as the largest of them needs: what the system
/// hands out fresh costs a page fault every 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    buffer: Option<Rc<Buffer>>,
    bytes: usize,
}

impl Arena {
    /// Bytes that tensors of these shapes take.
    pub fn size(shapes: &[[usize; 2]]) -> usize {
        shapes.iter().map(|[n0, n1]| (n0 * n1 * 4).next_multiple_of(ALIGNMENT)).sum()
    }

    /// F32 tensors of the given shapes, whatever they hold. Those handed out before must be gone.
    pub fn tensors(
        &mut self,
        backend: &Backend,
        shapes: &[[usize; 2]],
    ) -> Result<Vec<Tensor>, BackendError> {
        let bytes = Self::size(shapes);
        let busy = self.buffer.as_ref().is_some_and(|buffer| Rc::strong_count(buffer) > 1);
        assert!(!busy, "tensors of the pass before are still in use");
        if bytes > self.bytes {
            self.buffer = None;
            self.bytes = 0;
        }
        assert!(ALIGNMENT.is_multiple_of(backend.alignment()), "{}", backend.alignment());
        let buffer = match &self.buffer {
            Some(buffer) => buffer.clone(),
            None => self.buffer.insert(Rc::new(backend.allocate(bytes)?)).clone(),
        };
        self.bytes = self.bytes.max(bytes);
        let ctx = context(shapes.len());
        let raw: Vec<_> = shapes.iter().map(|&[n0, n1]| new_f32(ctx, n0, n1)).collect();
        let mut offset = 0;
        for (&raw, &shape) in raw.iter().zip(shapes) {
            // SAFETY: the buffer holds all tensors one behind the other, as summed up above.
            unsafe { place(&buffer, raw, offset) };
            offset += Self::size(&[shape]);
        }
        let memory = Rc::new(Memory { ctx, _buffer: buffer, _map: None });
        Ok(raw.into_iter().map(|raw| Tensor { raw, _memory: memory.clone() }).collect())
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

    /// Sizes, fastest dimension first.
    pub fn ne(&self) -> [usize; 4] {
        self.header().ne.map(|n| n as usize)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.ne().iter().product()
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

/// Puts a tensor into a buffer.
///
/// # Safety
/// The buffer has room for the tensor from `offset` on, and the offset is aligned.
unsafe fn place(buffer: &Buffer, tensor: NonNull<sys::ggml_tensor>, offset: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let base = sys::ggml_backend_buffer_get_base(buffer.0.as_ptr()).cast::<u8>();
        let at = base.wrapping_add(offset).cast::<c_void>();
        sys::ggml_backend_tensor_alloc(buffer.0.as_ptr(), tensor.as_ptr(), at);
    }
}

/// Row `row` of a result of a graph that has run.
pub(crate) fn read_row(node: crate::graph::Node<'_>, row: usize) -> Vec<f32> {
    let [n, rows, ..] = node.ne();
    assert!(row < rows);
    let mut out = vec![0.0f32; n];
    let bytes = size_of_val(out.as_slice());
    // SAFETY: as for `read`; the row lies within the matrix.
    unsafe {
        let out = out.as_mut_ptr().cast();
        sys::ggml_backend_tensor_get(node.as_ptr(), out, row * bytes, bytes);
    }
    out
}

/// Reads a result of a graph that has run.
pub(crate) fn read(node: crate::graph::Node<'_>) -> Vec<f32> {
    let mut out = vec![0.0f32; node.ne().iter().product()];
    let bytes = size_of_val(out.as_slice());
    // SAFETY: the node was marked as output, so it is allocated, computed, F32 and without gaps.
    unsafe { sys::ggml_backend_tensor_get(node.as_ptr(), out.as_mut_ptr().cast(), 0, bytes) };
    out
}

/// Copies of tensors of `gguf` on a device, in one buffer.
pub(crate) fn upload(
    gguf: &Gguf,
    infos: &[&TensorInfo],
    backend: &Backend,
) -> Result<Vec<Tensor>, BackendError> {
    let ctx = context(infos.len());
    let new = |info: &&TensorInfo| {
        let ne = info.ne.map(|n| n as i64);
        // SAFETY: the context is alive and was sized for the tensors.
        let raw = unsafe { sys::ggml_new_tensor(ctx.as_ptr(), info.ggml_type, 4, ne.as_ptr()) };
        NonNull::new(raw).expect("the context was sized for the tensors")
    };
    let raw: Vec<_> = infos.iter().map(new).collect();
    let alignment = backend.alignment();
    let size = |&raw: &_| backend.tensor_bytes(raw).next_multiple_of(alignment);
    let buffer = Rc::new(backend.allocate(raw.iter().map(size).sum())?);
    let memory = Rc::new(Memory { ctx, _buffer: buffer.clone(), _map: None });
    let mut offset = 0;
    for (&raw, info) in raw.iter().zip(infos) {
        let data = gguf.data(info);
        // SAFETY: the buffer holds all tensors one behind the other, and the file has each
        // tensor's bytes, as `Gguf::open` checked.
        unsafe {
            place(&buffer, raw, offset);
            sys::ggml_backend_tensor_set(raw.as_ptr(), data.as_ptr().cast(), 0, data.len());
        }
        offset += size(&raw);
    }
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
        let buffer = NonNull::new(sys::ggml_backend_cpu_buffer_from_ptr(start, len))
            .expect("memory for a buffer's header");
        (*raw.as_ptr()).data = data;
        (*raw.as_ptr()).buffer = buffer.as_ptr();
        let buffer = Rc::new(Buffer(buffer));
        let memory = Rc::new(Memory { ctx, _buffer: buffer, _map: Some(gguf.clone()) });
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
