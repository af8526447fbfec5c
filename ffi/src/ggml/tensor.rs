//! Tensors that outlive a graph: checkpoints, adapters, weights.

use std::any::Any;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::ggml::buffer::Buffer;
use crate::sys;

/// What a tensor is, wherever it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Description {
    /// ggml's type.
    pub kind: sys::ggml_type,
    /// Sizes, fastest dimension first.
    pub ne: [usize; 4],
}

impl Description {
    /// An F32 matrix of ne = (n0, n1).
    pub fn matrix([n0, n1]: [usize; 2]) -> Self {
        Self { kind: sys::GGML_TYPE_F32, ne: [n0, n1, 1, 1] }
    }
}

/// A tensor in a [`Buffer`]; valid as long as the memory it was made with.
#[derive(Debug)]
pub(crate) struct Tensor {
    raw: NonNull<sys::ggml_tensor>,
    _memory: Rc<Memory>,
}

/// The headers of some tensors and the memory of their values, freed with the last of them.
#[derive(Debug)]
struct Memory {
    _headers: Headers,
    _buffer: Rc<Buffer>,
    /// Owns what the buffer points into, if the buffer itself does not.
    _owner: Option<Box<dyn Any>>,
}

/// Tensors without memory: what a ggml context holds.
#[derive(Debug)]
pub(crate) struct Headers {
    ctx: NonNull<sys::ggml_context>,
    tensors: Vec<NonNull<sys::ggml_tensor>>,
}

impl Headers {
    pub fn new(descriptions: impl ExactSizeIterator<Item = Description>) -> Self {
        let n = descriptions.len();
        // SAFETY: with `no_alloc` the context holds `n` headers and nothing else.
        let raw = unsafe {
            sys::ggml_init(sys::ggml_init_params {
                mem_size: n * sys::ggml_tensor_overhead(),
                mem_buffer: std::ptr::null_mut(),
                no_alloc: true,
            })
        };
        let ctx = NonNull::new(raw).expect("memory for tensor headers");
        let mut headers = Self { ctx, tensors: Vec::with_capacity(n) };
        headers.tensors.extend(descriptions.map(|Description { kind, ne }| {
            let ne = ne.map(|n| n as i64);
            // SAFETY: the context is alive and has room.
            let raw = unsafe { sys::ggml_new_tensor(ctx.as_ptr(), kind, 4, ne.as_ptr()) };
            NonNull::new(raw).expect("the context was sized for the tensor")
        }));
        headers
    }

    /// The tensors, in order.
    pub fn tensors(&self) -> &[NonNull<sys::ggml_tensor>] {
        &self.tensors
    }

    /// The tensors, each in the buffer at its offset.
    ///
    /// # Safety
    /// The buffer has room for each tensor at its offset, which is aligned; the tensors do not
    /// overlap.
    pub unsafe fn place(self, buffer: &Rc<Buffer>, offsets: &[usize]) -> Vec<Tensor> {
        assert_eq!(offsets.len(), self.tensors.len());
        for (&raw, &offset) in self.tensors.iter().zip(offsets) {
            // SAFETY: the caller's promise.
            unsafe { buffer.place(raw, offset) };
        }
        self.into_tensors(buffer.clone(), None)
    }

    fn into_tensors(self, buffer: Rc<Buffer>, owner: Option<Box<dyn Any>>) -> Vec<Tensor> {
        let raw = self.tensors.clone();
        let memory = Rc::new(Memory { _headers: self, _buffer: buffer, _owner: owner });
        raw.into_iter().map(|raw| Tensor { raw, _memory: memory.clone() }).collect()
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: the context belongs to this value alone and is freed once.
        unsafe { sys::ggml_free(self.ctx.as_ptr()) }
    }
}

impl Tensor {
    /// A tensor of the CPU whose values are `data`, a part of `all`: nothing is copied.
    ///
    /// # Safety
    /// `owner` keeps `all` alive and nothing writes to it; `data` lies within it, is aligned for
    /// the type and has the bytes of the description.
    pub unsafe fn borrow(
        description: Description,
        data: &[u8],
        all: &[u8],
        owner: Box<dyn Any>,
    ) -> Self {
        let headers = Headers::new([description].into_iter());
        let raw = headers.tensors[0];
        // SAFETY: the caller's promise; the buffer spans `all`.
        let buffer = unsafe {
            let start = all.as_ptr().cast_mut().cast();
            let buffer = NonNull::new(sys::ggml_backend_cpu_buffer_from_ptr(start, all.len()))
                .expect("memory for a buffer's header");
            (*raw.as_ptr()).data = data.as_ptr().cast_mut().cast();
            (*raw.as_ptr()).buffer = buffer.as_ptr();
            Rc::new(Buffer::own(buffer, None))
        };
        headers.into_tensors(buffer, Some(owner)).pop().expect("one description gives one tensor")
    }

    pub fn as_ptr(&self) -> *mut sys::ggml_tensor {
        self.raw.as_ptr()
    }

    fn header(&self) -> &sys::ggml_tensor {
        // SAFETY: the headers live as long as `memory`.
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
