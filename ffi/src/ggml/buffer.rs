//! Tensors that outlive a graph: checkpoints, adapters, and weights in the memory map.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::ggml::backend::{Backend, BackendError};
use crate::gguf::file::{Gguf, TensorInfo};
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
    _ctx: Context,
    _buffer: Rc<Buffer>,
    /// Keeps the map alive that the buffer points into.
    _map: Option<Gguf>,
}

/// A ggml context that holds nothing but the headers of tensors.
#[derive(Debug)]
struct Context(NonNull<sys::ggml_context>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context belongs to this value alone and is freed once.
        unsafe { sys::ggml_free(self.0.as_ptr()) }
    }
}

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
            meter.buffers.set(meter.buffers.get() + buffer.bytes());
            meter.look();
        }
        buffer
    }

    fn bytes(&self) -> usize {
        // SAFETY: the buffer is alive.
        unsafe { sys::ggml_backend_buffer_get_size(self.raw.as_ptr()) }
    }

    /// Where its memory begins, which only its backend may read or write.
    pub fn base(&self) -> *mut u8 {
        // SAFETY: the buffer is alive.
        unsafe { sys::ggml_backend_buffer_get_base(self.raw.as_ptr()).cast() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.buffers.set(meter.buffers.get() - self.bytes());
            meter.freed.set(true);
        }
        // SAFETY: the buffer belongs to this value alone and is freed once.
        unsafe { sys::ggml_backend_buffer_free(self.raw.as_ptr()) }
    }
}

/// Bytes of a backend's memory that are allocated.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// In buffers, now.
    buffers: Cell<usize>,
    /// For intermediate tensors of graphs, now.
    graphs: Cell<usize>,
    /// Both, at most so far.
    peak: Cell<usize>,
    /// Whether some was freed since this was asked last.
    freed: Cell<bool>,
}

impl Meter {
    /// Notes how much the intermediate tensors of graphs take.
    pub fn set_graphs(&self, bytes: usize) {
        let before = self.graphs.replace(bytes);
        self.freed.set(self.freed.get() || (before != bytes && before != 0));
        self.look();
    }

    /// The most that was allocated at a time since this was asked last.
    pub fn take_peak(&self) -> usize {
        let peak = self.peak.take();
        self.look();
        peak
    }

    /// Whether memory was freed since this was asked last.
    pub fn take_freed(&self) -> bool {
        self.freed.take()
    }

    fn look(&self) {
        self.peak.set(self.peak.get().max(self.buffers.get() + self.graphs.get()));
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
        let raw: Vec<_> = shapes.iter().map(|&[n0, n1]| new_f32(&ctx, n0, n1)).collect();
        let mut offset = 0;
        for (&raw, &shape) in raw.iter().zip(shapes) {
            // SAFETY: the buffer holds all tensors one behind the other, as summed up above.
            unsafe { place(&buffer, raw, offset) };
            offset += Self::size(&[shape]);
        }
        let memory = Rc::new(Memory { _ctx: ctx, _buffer: buffer, _map: None });
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
        let at = buffer.base().wrapping_add(offset).cast::<c_void>();
        sys::ggml_backend_tensor_alloc(buffer.raw.as_ptr(), tensor.as_ptr(), at);
    }
}

/// Row `row` of a result of a graph that has run.
pub(crate) fn read_row(node: crate::ggml::graph::Node<'_>, row: usize) -> Vec<f32> {
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
pub(crate) fn read(node: crate::ggml::graph::Node<'_>) -> Vec<f32> {
    let mut out = vec![0.0f32; node.ne().iter().product()];
    let bytes = size_of_val(out.as_slice());
    // SAFETY: the node was marked as output, so it is allocated, computed, F32 and without gaps.
    unsafe { sys::ggml_backend_tensor_get(node.as_ptr(), out.as_mut_ptr().cast(), 0, bytes) };
    out
}

/// Tensors of a file one behind the other, as a buffer of some backend holds them.
pub(crate) struct Layout {
    ctx: Context,
    tensors: Vec<(NonNull<sys::ggml_tensor>, usize)>,
    /// Bytes of the buffer.
    pub bytes: usize,
}

impl Layout {
    pub fn new(infos: &[&TensorInfo], backend: &Backend) -> Self {
        let ctx = context(infos.len());
        let (alignment, mut bytes) = (backend.alignment(), 0);
        let new = |info: &&TensorInfo| {
            let (raw, offset) = (new_tensor(&ctx, info), bytes);
            bytes += backend.tensor_bytes(raw).next_multiple_of(alignment);
            (raw, offset)
        };
        let tensors = infos.iter().map(new).collect();
        Self { ctx, tensors, bytes }
    }

    /// The tensors in a buffer; their content is whatever the buffer holds.
    ///
    /// # Panics
    /// If the buffer is too small.
    pub fn place(self, buffer: &Rc<Buffer>) -> Vec<Tensor> {
        assert!(self.bytes <= buffer.bytes(), "{} of {} bytes", self.bytes, buffer.bytes());
        for &(raw, offset) in &self.tensors {
            // SAFETY: the buffer holds all tensors one behind the other.
            unsafe { place(buffer, raw, offset) };
        }
        let memory = Rc::new(Memory { _ctx: self.ctx, _buffer: buffer.clone(), _map: None });
        let tensor = |(raw, _)| Tensor { raw, _memory: memory.clone() };
        self.tensors.into_iter().map(tensor).collect()
    }
}

/// The tensor `info` of `gguf`, pointing into the map: nothing is copied.
pub(crate) fn map(gguf: &Gguf, info: &TensorInfo) -> Tensor {
    let ctx = context(1);
    let raw = new_tensor(&ctx, info);
    let data = gguf.data(info).as_ptr().cast_mut().cast::<c_void>();
    let (start, len) = (gguf.map().as_ptr().cast_mut().cast::<c_void>(), gguf.map().len());
    // SAFETY: the buffer spans the map, which `Memory` keeps alive and nothing writes to; the
    // tensor's data lies within it, as `Gguf::open` checked.
    unsafe {
        let buffer = NonNull::new(sys::ggml_backend_cpu_buffer_from_ptr(start, len))
            .expect("memory for a buffer's header");
        (*raw.as_ptr()).data = data;
        (*raw.as_ptr()).buffer = buffer.as_ptr();
        let buffer = Rc::new(Buffer::own(buffer, None));
        let memory = Rc::new(Memory { _ctx: ctx, _buffer: buffer, _map: Some(gguf.clone()) });
        Tensor { raw, _memory: memory }
    }
}

fn context(n_tensors: usize) -> Context {
    // SAFETY: with `no_alloc` the context holds `n_tensors` headers and nothing else.
    let raw = unsafe {
        sys::ggml_init(sys::ggml_init_params {
            mem_size: n_tensors * sys::ggml_tensor_overhead(),
            mem_buffer: std::ptr::null_mut(),
            no_alloc: true,
        })
    };
    Context(NonNull::new(raw).expect("memory for tensor headers"))
}

fn new_f32(ctx: &Context, n0: usize, n1: usize) -> NonNull<sys::ggml_tensor> {
    let [n0, n1] = [n0, n1].map(|n| n as i64);
    // SAFETY: the context is alive.
    let raw = unsafe { sys::ggml_new_tensor_2d(ctx.0.as_ptr(), sys::GGML_TYPE_F32, n0, n1) };
    NonNull::new(raw).expect("the context was sized for the tensor")
}

/// The header of a tensor of a file.
fn new_tensor(ctx: &Context, info: &TensorInfo) -> NonNull<sys::ggml_tensor> {
    let ne = info.ne.map(|n| n as i64);
    // SAFETY: the context is alive.
    let raw = unsafe { sys::ggml_new_tensor(ctx.0.as_ptr(), info.ggml_type, 4, ne.as_ptr()) };
    NonNull::new(raw).expect("the context was sized for the tensor")
}
