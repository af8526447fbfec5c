//! ggml behind safe types: devices and their memory, tensors, graphs. It knows no models.

pub(crate) mod arena;
pub(crate) mod backend;
pub(crate) mod buffer;
pub(crate) mod device;
mod fastest;
pub(crate) mod graph;
pub(crate) mod layout;
mod meter;
pub(crate) mod node;
pub(crate) mod operation;
pub(crate) mod rope;
pub(crate) mod tensor;
pub(crate) mod tensor_type;
pub(crate) mod threads;
