//! The operations of a transformer block, each with its gradient.

mod attention;
mod elementwise;
mod gated;
mod linear;
mod norm;
mod rotary;

pub(crate) use attention::Attention;
pub(crate) use linear::Lora;
