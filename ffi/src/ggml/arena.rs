//! Memory that passes reuse.

use std::rc::Rc;

use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::buffer::Buffer;
use crate::ggml::tensor::{Description, Headers, Tensor};

/// Where tensors of an [`Arena`] begin: at multiples of this, which every device allows.
const ALIGNMENT: usize = 256;

/// Memory that passes reuse, as large as the largest of them needs: memory fresh from the system
/// costs a page fault every 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    buffer: Option<Rc<Buffer>>,
    bytes: usize,
}

impl Arena {
    /// Bytes of F32 matrices of these shapes, ne = (n0, n1).
    pub fn size(shapes: &[[usize; 2]]) -> usize {
        shapes.iter().map(|&shape| place_bytes(shape)).sum()
    }

    /// F32 matrices of the given shapes, their content undefined. Those handed out before must be
    /// gone.
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
        let headers = Headers::new(shapes.iter().map(|&shape| Description::matrix(shape)));
        let offsets = shapes.iter().scan(0, |end, &shape| {
            let offset = *end;
            *end += place_bytes(shape);
            Some(offset)
        });
        // SAFETY: the buffer holds all tensors in sequence, as summed up above, and each begins at
        // a multiple of `ALIGNMENT`, of which the backend's is a divisor.
        Ok(unsafe { headers.place(&buffer, &offsets.collect::<Vec<_>>()) })
    }
}

/// Bytes of one F32 matrix with its padding.
fn place_bytes([n0, n1]: [usize; 2]) -> usize {
    (n0 * n1 * size_of::<f32>()).next_multiple_of(ALIGNMENT)
}
