//! Building and running ggml graphs: ggml's `assert`s end the process, so shapes are checked here.
//!
//! A [`Node`] is a tensor of the graph under construction. Every method adds one operation and
//! panics (never aborts) on shapes that ggml would refuse; those are faults of this crate, since
//! models are checked when they are opened.

pub(crate) mod chunks;
mod portable;

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use crate::ggml::operation::Operation;
use crate::model::architecture::{Rope, RopeMode};
use crate::sys;

/// A graph under construction, and what must live until it has run.
pub(crate) struct Graph {
    ctx: NonNull<sys::ggml_context>,
    graph: NonNull<sys::ggml_cgraph>,
    /// Data of custom operations, which ggml holds by address.
    keep: RefCell<Vec<Box<dyn Any>>>,
    /// Tensors that are written before the graph runs.
    inputs: RefCell<Vec<Input>>,
}

/// A tensor and its content.
type Input = (NonNull<sys::ggml_tensor>, Content);

enum Content {
    There(Vec<u32>),
    /// Made when the graph runs.
    Made(Box<dyn Fn() -> Vec<u32>>),
}

impl Content {
    fn words(&self) -> Cow<'_, [u32]> {
        match self {
            Self::There(words) => words.into(),
            Self::Made(make) => make().into(),
        }
    }
}

/// A tensor of a graph; `ne[0]` is the fastest dimension.
#[derive(Clone, Copy)]
pub(crate) struct Node<'g> {
    raw: NonNull<sys::ggml_tensor>,
    graph: PhantomData<&'g Graph>,
}

impl Node<'_> {
    /// Sizes, fastest dimension first.
    pub fn ne(self) -> [usize; 4] {
        self.tensor().ne.map(|n| n as usize)
    }

    fn tensor(&self) -> &sys::ggml_tensor {
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

impl Graph {
    /// A graph of at most `capacity` tensors.
    pub fn new(capacity: usize) -> Self {
        // SAFETY: with `no_alloc` the context holds headers only; its size counts them and the graph.
        unsafe {
            let params = sys::ggml_init_params {
                mem_size: capacity * sys::ggml_tensor_overhead()
                    + sys::ggml_graph_overhead_custom(capacity, false),
                mem_buffer: std::ptr::null_mut(),
                no_alloc: true,
            };
            let ctx = NonNull::new(sys::ggml_init(params)).expect("memory for a graph's headers");
            let graph = sys::ggml_new_graph_custom(ctx.as_ptr(), capacity, false);
            let graph = NonNull::new(graph).expect("the context was sized for the graph");
            Self { ctx, graph, keep: RefCell::default(), inputs: RefCell::default() }
        }
    }

    pub fn as_ptr(&self) -> *mut sys::ggml_cgraph {
        self.graph.as_ptr()
    }

    fn ctx(&self) -> *mut sys::ggml_context {
        self.ctx.as_ptr()
    }

    fn node(&self, raw: *mut sys::ggml_tensor) -> Node<'_> {
        Node { raw: NonNull::new(raw).expect("the graph's capacity"), graph: PhantomData }
    }

    /// A tensor that lives outside the graph: a weight, a checkpoint, an adapter's matrix.
    pub fn leaf<'g>(&'g self, tensor: &'g crate::ggml::buffer::Tensor) -> Node<'g> {
        self.node(tensor.as_ptr())
    }

    /// A matrix that lies in the program's own memory; on the CPU nothing is copied.
    pub fn slice<'g>(&'g self, data: &'g [f32], ne: [usize; 2]) -> Node<'g> {
        assert_eq!(ne[0] * ne[1], data.len());
        // SAFETY: the data outlives the graph and no operation writes to a leaf; a tensor that has
        // memory is left alone by the graph's allocator.
        unsafe {
            let [n0, n1] = ne.map(|n| n as i64);
            let node = self.node(sys::ggml_new_tensor_2d(self.ctx(), sys::GGML_TYPE_F32, n0, n1));
            (*node.as_ptr()).data = data.as_ptr().cast_mut().cast();
            node
        }
    }

    /// A matrix that has no content: for graphs that are built to measure them, never to run.
    pub fn placeholder(&self, ne: [usize; 2]) -> Node<'_> {
        let [n0, n1] = ne.map(|n| n as i64);
        // SAFETY: the context is alive; any address but null tells the allocator that the matrix
        // has memory elsewhere.
        unsafe {
            let node = self.node(sys::ggml_new_tensor_2d(self.ctx(), sys::GGML_TYPE_F32, n0, n1));
            (*node.as_ptr()).data = NonNull::<[f32; 16]>::dangling().as_ptr().cast();
            node
        }
    }

    /// A tensor whose content is `data`, written before the graph runs.
    pub fn input<T: Element>(&self, ne: [usize; 2], data: Vec<T>) -> Node<'_> {
        assert_eq!(ne[0] * ne[1], data.len());
        self.add_input::<T>(ne, Content::There(bytemuck::allocation::cast_vec(data)))
    }

    /// An input whose content is made only if the graph runs.
    pub fn input_with<T: Element>(
        &self,
        ne: [usize; 2],
        make: impl Fn() -> Vec<T> + 'static,
    ) -> Node<'_> {
        let make = move || bytemuck::allocation::cast_vec(make());
        self.add_input::<T>(ne, Content::Made(Box::new(make)))
    }

    fn add_input<T: Element>(&self, ne: [usize; 2], content: Content) -> Node<'_> {
        // SAFETY: the context is alive; the flag keeps the allocator from reusing the memory.
        let node = unsafe {
            let raw = sys::ggml_new_tensor_2d(self.ctx(), T::TYPE, ne[0] as i64, ne[1] as i64);
            sys::ggml_set_input(raw);
            self.node(raw)
        };
        self.inputs.borrow_mut().push((node.raw, content));
        node
    }

    /// Marks `node` as a result: it is computed, and readable after the run.
    pub fn output(&self, node: Node<'_>) {
        // SAFETY: graph and tensor are alive and belong together.
        unsafe {
            sys::ggml_set_output(node.as_ptr());
            sys::ggml_build_forward_expand(self.as_ptr(), node.as_ptr());
        }
    }

    /// The first node that the backend cannot compute.
    pub fn first_unsupported(&self, backend: &crate::ggml::backend::Backend) -> Option<Operation> {
        // SAFETY: graph and backend are alive.
        let supported = |node: &&sys::ggml_tensor| unsafe {
            sys::ggml_backend_supports_op(backend.as_ptr(), &raw const **node)
        };
        self.nodes().find(|node| !supported(node)).map(Operation::new)
    }

    /// What the graph computes, in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        self.nodes().map(Operation::new)
    }

    fn nodes(&self) -> impl Iterator<Item = &sys::ggml_tensor> {
        // SAFETY: the graph is alive, and its nodes with it.
        let n = unsafe { sys::ggml_graph_n_nodes(self.as_ptr()) };
        // SAFETY: as above; the index is one of the nodes'.
        (0..n).map(|i| unsafe { &*sys::ggml_graph_node(self.as_ptr(), i) })
    }

    /// Writes the inputs; the allocator must have placed them.
    pub fn write_inputs(&self) {
        for (tensor, content) in self.inputs.borrow().iter() {
            // SAFETY: an input that no output needs has no buffer and is skipped; the others hold
            // 32-bit words, by construction in `add_input`.
            unsafe {
                if !tensor.as_ref().buffer.is_null() {
                    let words = content.words();
                    let (data, bytes) = (words.as_ptr().cast(), size_of_val(&*words));
                    assert_eq!(bytes, sys::ggml_nbytes(tensor.as_ptr()));
                    sys::ggml_backend_tensor_set(tensor.as_ptr(), data, 0, bytes);
                }
            }
        }
    }

    /// `a + b`; `b` is repeated to the shape of `a`.
    pub fn add<'g>(&'g self, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        let (to, from) = (a.ne(), b.ne());
        assert!((0..4).all(|d| to[d] % from[d] == 0), "{from:?} does not repeat to {to:?}");
        // SAFETY: the shapes agree.
        self.node(unsafe { sys::ggml_add(self.ctx(), a.as_ptr(), b.as_ptr()) })
    }

    /// The same elements in another shape.
    pub fn reshape<'g>(&'g self, a: Node<'g>, ne: [usize; 3]) -> Node<'g> {
        assert!(a.is_contiguous());
        assert_eq!(a.ne().iter().product::<usize>(), ne.iter().product::<usize>());
        let [n0, n1, n2] = ne.map(|n| n as i64);
        // SAFETY: `a` is contiguous and has as many elements.
        self.node(unsafe { sys::ggml_reshape_3d(self.ctx(), a.as_ptr(), n0, n1, n2) })
    }

    /// The elements of `a` from `start` on, in the shape `ne`.
    pub fn part<'g>(&'g self, a: Node<'g>, start: usize, ne: [usize; 3]) -> Node<'g> {
        assert!(a.is_contiguous() && a.tensor().type_ == sys::GGML_TYPE_F32);
        assert!(start + ne.iter().product::<usize>() <= a.ne().iter().product());
        let [n0, n1, n2] = ne.map(|n| n as i64);
        let (row, plane, offset) = (ne[0] * 4, ne[0] * ne[1] * 4, start * 4);
        let (ctx, raw) = (self.ctx(), a.as_ptr());
        // SAFETY: the view lies within `a`, which has no gaps.
        self.node(unsafe { sys::ggml_view_3d(ctx, raw, n0, n1, n2, row, plane, offset) })
    }

    /// Rows `rows` of the matrix `a`.
    pub fn rows<'g>(&'g self, a: Node<'g>, rows: Node<'g>) -> Node<'g> {
        assert!(a.ne()[2] == 1 && rows.ne()[1] == 1 && rows.tensor().type_ == sys::GGML_TYPE_I32);
        // SAFETY: both are matrices and the indices are integers.
        self.node(unsafe { sys::ggml_get_rows(self.ctx(), a.as_ptr(), rows.as_ptr()) })
    }

    /// Lets the graph compute `node`, which must be the result of an operation, straight into `to`,
    /// a tensor of the same shape outside the graph.
    pub fn place(&self, node: Node<'_>, to: &crate::ggml::buffer::Tensor) {
        assert!(node.is_contiguous() && node.tensor().data.is_null());
        assert!(node.ne() == to.ne() && node.tensor().type_ == sys::GGML_TYPE_F32);
        // SAFETY: `to` is allocated, F32, contiguous and of the same size; a tensor that has memory
        // is left alone by the graph's allocator.
        unsafe {
            let (raw, to) = (node.as_ptr(), to.as_ptr());
            (*raw).data = (*to).data;
            (*raw).buffer = (*to).buffer;
        }
    }

    /// Copies `a` into `to`, an equally large tensor outside the graph, when the graph runs.
    pub fn store<'g>(&'g self, a: Node<'g>, to: &'g crate::ggml::buffer::Tensor) {
        assert_eq!(a.ne(), to.ne());
        let to = self.leaf(to);
        // SAFETY: the shapes agree.
        unsafe {
            let copy = sys::ggml_cpy(self.ctx(), a.as_ptr(), to.as_ptr());
            sys::ggml_build_forward_expand(self.as_ptr(), copy);
        }
    }

    /// Rotates the heads of `x`, of shape (head_dim, heads, tokens), to their positions, or back.
    pub fn rope<'g>(&'g self, x: Node<'g>, rope: &Rotation<'g>, direction: Direction) -> Node<'g> {
        let (ne, n_rot) = (x.ne(), rope.rope.n_rot);
        assert!(n_rot <= ne[0] && n_rot % 2 == 0 && rope.positions.ne()[0] == ne[2]);
        assert!(rope.factors.is_none_or(|f| f.ne()[0] >= n_rot / 2));
        let mode = match rope.rope.mode {
            RopeMode::Norm => 0,
            RopeMode::Neox => 2,
        };
        let op = match direction {
            Direction::Forward => sys::ggml_rope_ext,
            Direction::Back => sys::ggml_rope_ext_back,
        };
        let factors = rope.factors.map_or(std::ptr::null_mut(), Node::as_ptr);
        let (base, scale) = (rope.rope.freq_base, rope.rope.freq_scale);
        let positions = rope.positions.as_ptr();
        // SAFETY: one position per token, frequency factors for every pair; the last four numbers
        // and the context length belong to YaRN, which a zero mix factor switches off.
        self.node(unsafe {
            op(
                self.ctx(),
                x.as_ptr(),
                positions,
                factors,
                n_rot as i32,
                mode,
                0,
                base,
                scale,
                0.0,
                1.0,
                32.0,
                1.0,
            )
        })
    }

    /// An operation of ours, on the CPU: `dst` has the type and shape given.
    pub fn custom<'g>(
        &'g self,
        kind: sys::ggml_type,
        ne: [usize; 2],
        sources: &[Node<'g>],
        op: impl CustomOp,
    ) -> Node<'g> {
        let data = self.keep(op);
        let mut sources: Vec<_> = sources.iter().map(|s| s.as_ptr()).collect();
        let n_sources = i32::try_from(sources.len()).expect("a handful of sources");
        let [n0, n1] = ne.map(|n| n as i64);
        // SAFETY: `run_custom` gets the address of a boxed operation that lives as long as the
        // graph; −1 asks for every thread.
        self.node(unsafe {
            let (sources, run) = (sources.as_mut_ptr(), Some(run_custom as CustomFn));
            sys::ggml_custom_4d(self.ctx(), kind, n0, n1, 1, 1, sources, n_sources, run, -1, data)
        })
    }
}

impl Graph {
    /// An operation of ours, on the CPU, that changes `a`, its first source, in place.
    pub fn custom_inplace<'g>(
        &'g self,
        a: Node<'g>,
        sources: &[Node<'g>],
        op: impl CustomOp,
    ) -> Node<'g> {
        let (data, run) = (self.keep(op), Some(run_custom as CustomFn));
        let mut sources: Vec<_> = sources.iter().map(|s| s.as_ptr()).collect();
        let n_sources = i32::try_from(sources.len()).expect("a handful of sources");
        // SAFETY: as for `custom`; the result is a view of `a`.
        self.node(unsafe {
            let sources = sources.as_mut_ptr();
            sys::ggml_custom_inplace(self.ctx(), a.as_ptr(), sources, n_sources, run, -1, data)
        })
    }

    /// Keeps `op` as long as the graph; returns its address for [`run_custom`].
    fn keep(&self, op: impl CustomOp) -> *mut std::ffi::c_void {
        let op: Box<Box<dyn CustomOp>> = Box::new(Box::new(op));
        let data = (&raw const *op).cast_mut().cast();
        self.keep.borrow_mut().push(op);
        data
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nodes borrow the graph, so none is left.
        unsafe { sys::ggml_free(self.ctx()) }
    }
}

/// Rust types that an input can have.
pub(crate) trait Element: bytemuck::NoUninit + bytemuck::AnyBitPattern {
    const TYPE: sys::ggml_type;
}

impl Element for f32 {
    const TYPE: sys::ggml_type = sys::GGML_TYPE_F32;
}

impl Element for i32 {
    const TYPE: sys::ggml_type = sys::GGML_TYPE_I32;
}

type CustomFn = unsafe extern "C" fn(*mut sys::ggml_tensor, i32, i32, *mut std::ffi::c_void);

/// Rotary embedding of one layer for the tokens of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Rotation<'g> {
    pub rope: Rope,
    pub positions: Node<'g>,
    /// Divisors of the frequencies (Llama 3).
    pub factors: Option<Node<'g>>,
}

/// Which way [`Graph::rope`] turns.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Forward,
    Back,
}

unsafe extern "C" fn run_custom(
    dst: *mut sys::ggml_tensor,
    thread: i32,
    n_threads: i32,
    data: *mut std::ffi::c_void,
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
