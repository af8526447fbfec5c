//! What a node of a graph asks of the device that computes it.

use std::ffi::{CStr, c_char};
use std::fmt;

use crate::sys;

/// An operation on tensors, in ggml's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name, such as `MUL_MAT`.
    pub name: &'static str,
    /// Which function of one argument it is, such as `SILU`, if its name is `UNARY`.
    pub function: Option<&'static str>,
    /// What it computes.
    pub result: Operand,
    /// What it reads.
    pub sources: Vec<Operand>,
}

/// Type and layout of a tensor that an [`Operation`] works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// ggml's name of the type, such as `q4_K`.
    pub tensor_type: &'static str,
    /// Sizes, fastest dimension first.
    pub ne: [usize; 4],
    /// Strides in bytes.
    pub nb: [usize; 4],
    /// Bytes from the beginning of the tensor whose part it is, if it is one.
    pub offset: usize,
    /// Whether it has no gaps and its dimensions are in order.
    pub contiguous: bool,
    /// Whether its rows have no gaps.
    pub contiguous_rows: bool,
}

impl Operation {
    pub(crate) fn new(node: &sys::ggml_tensor) -> Self {
        let sources = node.src.iter().take_while(|source| !source.is_null());
        // SAFETY: the sources of a node live as long as it; ggml's names are static strings.
        unsafe {
            let unary = node.op == sys::GGML_OP_UNARY;
            Self {
                name: text(sys::ggml_op_name(node.op)),
                function: unary.then(|| text(sys::ggml_op_desc(node))),
                result: Operand::new(node),
                sources: sources.map(|&source| Operand::new(&*source)).collect(),
            }
        }
    }
}

impl Operand {
    fn new(tensor: &sys::ggml_tensor) -> Self {
        // SAFETY: the tensor is alive and its type one of ggml's, whose names are static strings.
        unsafe {
            Self {
                tensor_type: text(sys::ggml_type_name(tensor.type_)),
                ne: tensor.ne.map(|n| n as usize),
                nb: tensor.nb,
                offset: tensor.view_offs,
                contiguous: sys::ggml_is_contiguous(tensor),
                contiguous_rows: sys::ggml_is_contiguous_rows(tensor),
            }
        }
    }
}

/// # Safety
/// `name` is a static string.
unsafe fn text(name: *const c_char) -> &'static str {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_str().expect("ggml's names are ASCII")
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.sources.iter().map(|source| source.tensor_type).collect();
        write!(f, "{} of {}", self.function.unwrap_or(self.name), types.join(" and "))
    }
}
