//! GGUF files: reading, writing, and dequantizing rows.

pub(crate) mod dequantize;
pub(crate) mod file;
pub(crate) mod header;
mod q6_k;
pub(crate) mod writer;
