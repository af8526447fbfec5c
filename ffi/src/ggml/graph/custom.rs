//! Operations of our own in a graph, on the CPU.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ops::Range;

use cutq_kernels::{Pool, Scratch, Work};

use super::Graph;
use crate::ggml::node::Node;
use crate::sys;

thread_local! {
    /// What an operation works in on this thread, as long as the thread lives.
    pub(crate) static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());

    /// What divides the operations of the graph that runs on this thread.
    static POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
}

/// Runs a graph on this thread; `pool`, if there is one, divides its custom operations.
pub(crate) fn lend_pool<T>(pool: &Cell<Option<Pool>>, run: impl FnOnce() -> T) -> T {
    POOL.set(pool.take());
    let result = run();
    pool.set(POOL.take());
    result
}

/// What runs in place of one of ggml's operations.
pub(crate) trait CustomOp: Sync + 'static {
    /// How the work may be divided; the result must not depend on it.
    fn work(&self, dst: &sys::ggml_tensor) -> Work;

    /// Does a part of the work.
    ///
    /// # Safety
    /// `dst` and its sources are the tensors that the node was built with, allocated and, for the
    /// sources, computed; other threads do the other parts at the same time.
    unsafe fn run(&self, dst: &sys::ggml_tensor, part: Range<usize>);
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
        // graph; it is called on one of ggml's threads.
        self.node(unsafe {
            let sources = sources.as_mut_ptr();
            sys::ggml_custom_4d(self.ctx(), kind, n0, n1, 1, 1, sources, n_sources, run, 1, data)
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
            sys::ggml_custom_inplace(self.ctx(), a.as_ptr(), sources, n_sources, run, 1, data)
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

/// A running node, for all threads.
struct Running<'a>(&'a sys::ggml_tensor);

// SAFETY: the header of a tensor does not change while its graph runs; of its data, threads write
// different parts, by the contract of `CustomOp::run`.
unsafe impl Sync for Running<'_> {}

unsafe extern "C" fn run_custom(
    dst: *mut sys::ggml_tensor,
    _thread: i32,
    _n_threads: i32,
    data: *mut c_void,
) {
    // A panic must not cross C; there is no way back to the caller either, so it ends the process.
    let run = std::panic::catch_unwind(|| {
        // SAFETY: `data` is the address that `Graph::custom` passed, and the graph is alive while
        // it runs; ggml calls this once, with the node it belongs to.
        let (op, dst) = unsafe { (&*data.cast::<Box<dyn CustomOp>>(), Running(&*dst)) };
        let each = |part| {
            let Running(dst) = &dst;
            // SAFETY: the node runs; every part is handed out once.
            unsafe { op.run(dst, part) }
        };
        let work = op.work(dst.0);
        POOL.with_borrow_mut(|pool| match pool {
            Some(pool) => pool.divide(work, each),
            None => each(work.all()),
        });
    });
    if run.is_err() {
        std::process::abort();
    }
}
