//! GGUF files: reading, writing, and dequantizing rows.

pub(crate) mod dequantize;
pub(crate) mod error;
mod faster;
pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod header;
mod parse;
mod quants;
pub(crate) mod replace;
mod shard;
pub(crate) mod split;
pub(crate) mod tensor_info;
pub(crate) mod unpacking;
pub(crate) mod value;
pub(crate) mod writer;
