//! ggml behind safe types: devices, backends, memory, graphs. It knows no models.

pub(crate) mod backend;
pub(crate) mod buffer;
pub(crate) mod device;
mod fastest;
pub(crate) mod graph;
pub(crate) mod operation;
pub(crate) mod tensor_type;
