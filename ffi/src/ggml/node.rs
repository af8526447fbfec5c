//! A tensor of a graph.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::sys;

/// A tensor of the graph that `'g` borrows; `ne[0]` is the fastest dimension.
#[derive(Clone, Copy)]
pub(crate) struct Node<'g> {
    raw: NonNull<sys::ggml_tensor>,
    graph: PhantomData<&'g ()>,
}

impl Node<'_> {
    /// # Safety
    /// The tensor belongs to a graph that is alive for the node's lifetime.
    pub unsafe fn new(raw: NonNull<sys::ggml_tensor>) -> Self {
        Self { raw, graph: PhantomData }
    }

    /// Sizes, fastest dimension first.
    pub fn ne(self) -> [usize; 4] {
        self.tensor().ne.map(|n| n as usize)
    }

    /// Strides in bytes.
    pub fn nb(self) -> [usize; 4] {
        self.tensor().nb
    }

    pub fn tensor(&self) -> &sys::ggml_tensor {
        // SAFETY: a node lives no longer than its graph, whose context owns the tensor.
        unsafe { self.raw.as_ref() }
    }

    pub fn as_ptr(self) -> *mut sys::ggml_tensor {
        self.raw.as_ptr()
    }

    pub fn is_contiguous(self) -> bool {
        // SAFETY: the tensor is alive.
        unsafe { sys::ggml_is_contiguous(self.as_ptr()) }
    }

    /// The values of an output of a graph that has run.
    pub fn read(self) -> Vec<f32> {
        self.read_from(0, self.ne().iter().product())
    }

    /// [`Node::read`] into memory that is used again.
    pub fn read_into(self, out: &mut Vec<f32>) {
        let n = self.ne().iter().product();
        out.clear();
        out.reserve_exact(n);
        out.resize(n, 0.0);
        self.copy_from(0, out);
    }

    /// Row `row` of an output of a graph that has run.
    pub fn read_row(self, row: usize) -> Vec<f32> {
        let [n, rows, ..] = self.ne();
        assert!(row < rows);
        self.read_from(row * n, n)
    }

    fn read_from(self, start: usize, n: usize) -> Vec<f32> {
        let mut out = vec![0.0f32; n];
        self.copy_from(start, &mut out);
        out
    }

    /// Values from element `start` on, as many as `out` takes.
    fn copy_from(self, start: usize, out: &mut [f32]) {
        assert!(start + out.len() <= self.ne().iter().product());
        let (offset, bytes) = (start * size_of::<f32>(), size_of_val(out));
        // SAFETY: the node was marked as output, so it is allocated, computed, F32 and without
        // gaps; the range lies within it.
        unsafe {
            let out = out.as_mut_ptr().cast();
            sys::ggml_backend_tensor_get(self.as_ptr(), out, offset, bytes);
        }
    }
}
