//! Building and running ggml graphs: ggml's `assert`s end the process, so shapes are checked here.
//!
//! Every method adds one operation and panics (never aborts) on shapes that ggml would refuse;
//! those are faults of this crate, since models are checked when they are opened.

mod basic;
pub(crate) mod custom;
mod portable;

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::NonNull;

use crate::ggml::node::Node;
use crate::ggml::operation::Operation;
use crate::ggml::tensor::Tensor;
use crate::sys;

/// A graph under construction, and what must live until it has run.
pub(crate) struct Graph {
    ctx: NonNull<sys::ggml_context>,
    graph: NonNull<sys::ggml_cgraph>,
    /// Data of custom operations, which ggml holds by address.
    owned: RefCell<Vec<Box<dyn Any>>>,
    /// Tensors that are written before the graph runs.
    inputs: RefCell<Vec<Input>>,
    /// See [`Graph::shared`].
    shared: RefCell<HashMap<Key, NonNull<sys::ggml_tensor>>>,
}

/// What a shared node is, and two numbers that tell it from others of its kind.
type Key = (&'static str, [usize; 2]);

/// A tensor and its content.
type Input = (NonNull<sys::ggml_tensor>, Content);

enum Content {
    Own(Vec<u32>),
    /// Lent by whoever made the graph.
    Lent(NonNull<[f32]>),
}

/// Construction and what surrounds a run.
impl Graph {
    /// A graph of at most `capacity` tensors.
    pub fn new(capacity: usize) -> Self {
        // SAFETY: with `no_alloc` the context holds headers only; its size counts them and the
        // graph.
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
            let (owned, inputs, shared) = Default::default();
            Self { ctx, graph, owned, inputs, shared }
        }
    }

    pub fn as_ptr(&self) -> *mut sys::ggml_cgraph {
        self.graph.as_ptr()
    }

    fn ctx(&self) -> *mut sys::ggml_context {
        self.ctx.as_ptr()
    }

    fn node(&self, raw: *mut sys::ggml_tensor) -> Node<'_> {
        let raw = NonNull::new(raw).expect("the graph's capacity");
        // SAFETY: the tensor belongs to this graph's context or outlives it.
        unsafe { Node::new(raw) }
    }

    /// A node that several operations use and only the first one makes, in this graph: the same
    /// `key`, the same node.
    pub fn shared<'g>(&'g self, key: Key, make: impl FnOnce() -> Node<'g>) -> Node<'g> {
        let found = self.shared.borrow().get(&key).copied();
        if let Some(raw) = found {
            return self.node(raw.as_ptr());
        }
        let node = make();
        let raw = NonNull::new(node.as_ptr()).expect("nodes have an address");
        self.shared.borrow_mut().insert(key, raw);
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

    /// What the graph computes, in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        self.nodes().map(Operation::new)
    }

    pub fn nodes(&self) -> impl Iterator<Item = &sys::ggml_tensor> {
        // SAFETY: the graph is alive, and its nodes with it.
        let n = unsafe { sys::ggml_graph_n_nodes(self.as_ptr()) };
        // SAFETY: as above; the index is one of the nodes'.
        (0..n).map(|i| unsafe { &*sys::ggml_graph_node(self.as_ptr(), i) })
    }

    /// Writes the inputs; the allocator must have placed them.
    pub fn write_inputs(&self) {
        for (tensor, content) in self.inputs.borrow().iter() {
            // SAFETY: an input that no output needs has no buffer and is skipped; the others hold
            // 32-bit words, by construction in `add_input`. What was lent outlives the graph.
            unsafe {
                if !tensor.as_ref().buffer.is_null() {
                    let (data, bytes) = match content {
                        Content::Own(words) => (words.as_ptr().cast(), size_of_val(&**words)),
                        Content::Lent(data) => (data.as_ptr().cast_const().cast(), 4 * data.len()),
                    };
                    assert_eq!(bytes, sys::ggml_nbytes(tensor.as_ptr()));
                    sys::ggml_backend_tensor_set(tensor.as_ptr(), data, 0, bytes);
                }
            }
        }
    }
}

/// Tensors that nothing in the graph computes.
impl Graph {
    /// A tensor that lives outside the graph: a weight, a checkpoint, an adapter's matrix.
    pub fn leaf<'g>(&'g self, tensor: &'g Tensor) -> Node<'g> {
        self.node(tensor.as_ptr())
    }

    /// A matrix that lies in the program's own memory; on the CPU nothing is copied.
    pub fn slice<'g>(&'g self, data: &'g [f32], ne: [usize; 2]) -> Node<'g> {
        assert_eq!(ne[0] * ne[1], data.len());
        // SAFETY: the data outlives the graph and no operation writes to a leaf.
        unsafe { self.located(ne, data.as_ptr().cast_mut()) }
    }

    /// A matrix that has no content: for graphs that are built to measure them, never to run.
    pub fn placeholder(&self, ne: [usize; 2]) -> Node<'_> {
        // SAFETY: any address but null tells the allocator that the matrix has memory elsewhere;
        // nothing reads it.
        unsafe { self.located(ne, NonNull::<[f32; 16]>::dangling().as_ptr().cast()) }
    }

    /// An F32 matrix at an address; a tensor that has memory is left alone by the graph's
    /// allocator.
    ///
    /// # Safety
    /// If the graph runs, the address holds the matrix, and nothing writes to it.
    unsafe fn located(&self, [n0, n1]: [usize; 2], data: *mut f32) -> Node<'_> {
        let (n0, n1) = (n0 as i64, n1 as i64);
        // SAFETY: the context is alive; the rest is the caller's promise.
        unsafe {
            let node = self.node(sys::ggml_new_tensor_2d(self.ctx(), sys::GGML_TYPE_F32, n0, n1));
            (*node.as_ptr()).data = data.cast();
            node
        }
    }

    /// A tensor whose content is `data`, written before the graph runs.
    pub fn input<T: Element>(&self, ne: [usize; 2], data: Vec<T>) -> Node<'_> {
        assert_eq!(ne[0] * ne[1], data.len());
        self.add_input::<T>(ne, Content::Own(bytemuck::allocation::cast_vec(data)))
    }

    /// A matrix whose content is `data`, which outlives the graph, written before the graph runs.
    pub fn input_lent<'g>(&'g self, ne: [usize; 2], data: &'g [f32]) -> Node<'g> {
        assert_eq!(ne[0] * ne[1], data.len());
        self.add_input::<f32>(ne, Content::Lent(NonNull::from(data)))
    }

    fn add_input<T: Element>(&self, ne: [usize; 2], content: Content) -> Node<'_> {
        // SAFETY: the context is alive; the flag keeps the allocator from reusing the memory.
        let node = unsafe {
            let raw = sys::ggml_new_tensor_2d(self.ctx(), T::TYPE, ne[0] as i64, ne[1] as i64);
            sys::ggml_set_input(raw);
            self.node(raw)
        };
        let raw = NonNull::new(node.as_ptr()).expect("nodes have an address");
        self.inputs.borrow_mut().push((raw, content));
        node
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
