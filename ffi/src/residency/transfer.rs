//! The content of tensors on its way from the file to a device.

use std::ptr::NonNull;

use crate::ggml::tensor::Tensor;
use crate::gguf::file::Gguf;
use crate::gguf::tensor_info::TensorInfo;
use crate::residency::pinned::PinnedQueue;
use crate::sys;

/// The content of tensors on its way from the file to a device.
///
/// Whoever makes one keeps the tensors alive, and reads nothing of them, until it has run.
pub(crate) struct Transfer {
    gguf: Gguf,
    parts: Vec<(NonNull<sys::ggml_tensor>, TensorInfo)>,
}

// SAFETY: the tensors' headers are only read, and ggml's backends copy from any thread while
// another one computes with other tensors.
unsafe impl Send for Transfer {}

impl Transfer {
    pub fn new(gguf: &Gguf) -> Self {
        Self { gguf: gguf.clone(), parts: Vec::new() }
    }

    /// Adds a tensor that lies in a buffer and its description in the file.
    pub fn push(&mut self, tensor: &Tensor, info: &TensorInfo) {
        let raw = NonNull::new(tensor.as_ptr()).expect("tensors have an address");
        self.parts.push((raw, info.clone()));
    }

    /// Copies everything and gives the file's pages back.
    pub fn run(&self, queue: Option<&PinnedQueue>) {
        let mut start = 0;
        for (tensor, info) in &self.parts {
            let bytes = self.gguf.data(info);
            // SAFETY: the tensors are alive and not read meanwhile, by this type's contract; they
            // have as many bytes as the file has for them.
            unsafe {
                if let Some(queue) = queue {
                    start = queue.send(*tensor, bytes, start);
                } else {
                    let data = bytes.as_ptr().cast();
                    sys::ggml_backend_tensor_set(tensor.as_ptr(), data, 0, bytes.len());
                }
            }
        }
        queue.inspect(|queue| queue.finish());
        for (_, info) in &self.parts {
            self.gguf.release_tensor(info);
        }
    }
}
