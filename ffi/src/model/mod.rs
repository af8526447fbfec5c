//! What a model is made of: families, shapes, tensors.

pub(crate) mod architecture;
pub(crate) mod error;
pub(crate) mod family;
pub(crate) mod group;
mod keys;
pub(crate) mod kind;
pub(crate) mod layer;
pub(crate) mod norm;
mod positions;
pub(crate) mod projection;
mod read;
pub(crate) mod refused;
pub(crate) mod tensors;
#[cfg(test)]
pub(crate) mod tiny;
pub(crate) mod traits;
mod variants;
pub(crate) mod weight;
