//! The operations of a transformer layer and of the head, each with its gradient, and the two ways
//! to compute them.
//!
//! The definition of an operation stands at its method in [`Lowering`]; `kernels` and `portable`
//! have a file for each operation.

pub(crate) mod attention;
mod elementwise;
pub(crate) mod head;
pub(crate) mod kernels;
pub(crate) mod linear;
pub(crate) mod lowering;
pub(crate) mod portable;
pub(crate) mod tape;
