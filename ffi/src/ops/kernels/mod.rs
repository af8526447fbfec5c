//! Operations by the kernels of this project, on the CPU.

pub(crate) mod attention;
mod gated;
pub(crate) mod head;
pub(crate) mod linear;
mod norm;
pub(crate) mod product;
