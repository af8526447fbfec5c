//! Tensors in sequence, as a buffer of a backend holds them.

use std::rc::Rc;

use crate::ggml::backend::Backend;
use crate::ggml::buffer::Buffer;
use crate::ggml::tensor::{Description, Headers, Tensor};

/// Tensors in sequence, as a buffer of a backend holds them.
pub(crate) struct Layout {
    headers: Headers,
    offsets: Vec<usize>,
    /// Bytes of the buffer.
    pub bytes: usize,
}

impl Layout {
    pub fn new(
        descriptions: impl ExactSizeIterator<Item = Description>,
        backend: &Backend,
    ) -> Self {
        let headers = Headers::new(descriptions);
        let (alignment, mut bytes) = (backend.alignment(), 0);
        let offset = |&raw: &_| {
            let offset = bytes;
            bytes += backend.tensor_bytes(raw).next_multiple_of(alignment);
            offset
        };
        let offsets = headers.tensors().iter().map(offset).collect();
        Self { headers, offsets, bytes }
    }

    /// The tensors in a buffer; their content is whatever the buffer holds.
    ///
    /// # Panics
    /// If the buffer is too small.
    pub fn place(self, buffer: &Rc<Buffer>) -> Vec<Tensor> {
        assert!(self.bytes <= buffer.bytes(), "{} of {} bytes", self.bytes, buffer.bytes());
        // SAFETY: the buffer holds all tensors in sequence, at the backend's alignment.
        unsafe { self.headers.place(buffer, &self.offsets) }
    }
}
