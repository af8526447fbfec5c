//! Operations of our own in a graph, on the CPU.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ops::Range;

use cutq_kernels::Scratch;

use super::Graph;
use crate::ggml::node::Node;
use crate::sys;

thread_local! {
    /// What an operation works in on this thread. ggml's threads live as long as their pool, and so
    /// does their scratch.
    pub(crate) static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// What runs on every thread in place of one of ggml's operations.
pub(crate) trait CustomOp: 'static {
    /// Computes this thread's share of `dst`.
    ///
    /// # Safety
    /// `dst` and its sources are the tensors that the node was built with, allocated and, for the
    /// sources, computed; other threads run the other shares at the same time.
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize);
}

/// Floats `range` of a tensor.
///
/// # Safety
/// `tensor` is allocated, F32, without gaps and has these elements; nothing writes to them while
/// the slice is in use.
pub(crate) unsafe fn floats<'a>(tensor: *const sys::ggml_tensor, range: Range<usize>) -> &'a [f32] {
    // SAFETY: the caller's promise.
    unsafe {
        let data = (*tensor).data.cast_const().cast::<f32>();
        std::slice::from_raw_parts(data.add(range.start), range.len())
    }
}

/// [`floats`] to write to.
///
/// # Safety
/// As for [`floats`], and nothing else accesses them.
pub(crate) unsafe fn floats_mut<'a>(
    tensor: *const sys::ggml_tensor,
    range: Range<usize>,
) -> &'a mut [f32] {
    // SAFETY: the caller's promise.
    unsafe {
        let data = (*tensor).data.cast::<f32>();
        std::slice::from_raw_parts_mut(data.add(range.start), range.len())
    }
}

/// Data of source `i` of a running node.
///
/// # Safety
/// `dst` is a running node with more than `i` sources.
pub(crate) unsafe fn source<T>(dst: &sys::ggml_tensor, i: usize) -> *const T {
    // SAFETY: the caller's promise.
    unsafe { (*dst.src[i]).data.cast_const().cast() }
}

type CustomFn = unsafe extern "C" fn(*mut sys::ggml_tensor, i32, i32, *mut c_void);

impl Graph {
    /// An operation of ours: `dst` has the type and shape given.
    pub fn custom<'g>(
        &'g self,
        kind: sys::ggml_type,
        ne: [usize; 2],
        sources: &[Node<'g>],
        op: impl CustomOp,
    ) -> Node<'g> {
        let (data, run) = (self.own(op), Some(run_custom as CustomFn));
        let mut sources: Vec<_> = sources.iter().map(|s| s.as_ptr()).collect();
        let n_sources = i32::try_from(sources.len()).expect("a handful of sources");
        let [n0, n1] = ne.map(|n| n as i64);
        // SAFETY: `run_custom` gets the address of a boxed operation that lives as long as the
        // graph; −1 asks for every thread.
        self.node(unsafe {
            let sources = sources.as_mut_ptr();
            sys::ggml_custom_4d(self.ctx(), kind, n0, n1, 1, 1, sources, n_sources, run, -1, data)
        })
    }

    /// An operation of ours that changes `a`, its first source, in place.
    pub fn custom_inplace<'g>(
        &'g self,
        a: Node<'g>,
        sources: &[Node<'g>],
        op: impl CustomOp,
    ) -> Node<'g> {
        let (data, run) = (self.own(op), Some(run_custom as CustomFn));
        let mut sources: Vec<_> = sources.iter().map(|s| s.as_ptr()).collect();
        let n_sources = i32::try_from(sources.len()).expect("a handful of sources");
        // SAFETY: as for `custom`; the result is a view of `a`.
        self.node(unsafe {
            let sources = sources.as_mut_ptr();
            sys::ggml_custom_inplace(self.ctx(), a.as_ptr(), sources, n_sources, run, -1, data)
        })
    }

    /// Owns `op` as long as the graph lives; returns its address for [`run_custom`].
    fn own(&self, op: impl CustomOp) -> *mut c_void {
        let op: Box<Box<dyn CustomOp>> = Box::new(Box::new(op));
        let data = (&raw const *op).cast_mut().cast();
        self.owned.borrow_mut().push(op);
        data
    }
}

unsafe extern "C" fn run_custom(
    dst: *mut sys::ggml_tensor,
    thread: i32,
    n_threads: i32,
    data: *mut c_void,
) {
    // A panic must not cross C; there is no way back to the caller either, so it ends the process.
    let run = std::panic::catch_unwind(|| {
        // SAFETY: `data` is the address that `Graph::custom` passed, and the graph is alive while
        // it runs; ggml calls this once per thread with the node it belongs to.
        unsafe {
            let op = &*data.cast::<Box<dyn CustomOp>>();
            op.run(&*dst, thread as usize, n_threads as usize);
        }
    });
    if run.is_err() {
        std::process::abort();
    }
}
