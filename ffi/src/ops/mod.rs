//! The operations of a transformer block, each with its gradient.

mod elementwise;
pub(crate) mod head;
pub(crate) mod kernels;
pub(crate) mod lowering;
pub(crate) mod portable;
mod rope;
pub(crate) mod tape;

pub(crate) use kernels::attention::Attention;
pub(crate) use kernels::linear::Lora;
