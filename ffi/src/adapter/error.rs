//! Why an adapter cannot be loaded or saved.

use std::path::PathBuf;

use crate::gguf::error::GgufError;

/// Why an adapter cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The file is not a readable GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The file is a GGUF, but not a LoRA adapter.
    #[error(
        "{path}: not a LoRA adapter (general.type is {found:?}, adapter.type must be \"lora\")"
    )]
    NotAnAdapter {
        /// The file.
        path: PathBuf,
        /// `general.type`.
        found: String,
    },
    /// A kind of adapter that is not computed here.
    #[error("{path}: {what} cannot be trained or applied here")]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// An adapter as PEFT stores it.
    #[error(
        "{path}: a PEFT adapter, not a GGUF\nhint: convert its folder with llama.cpp's \
         convert_lora_to_gguf.py"
    )]
    Peft {
        /// The file or folder.
        path: PathBuf,
    },
    /// A tensor that is no half of a LoRA matrix, or has no use here.
    #[error("{path}: tensor {tensor}: {reason}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What stands in the way.
        reason: String,
    },
    /// The adapter belongs to another model.
    #[error("{path}: this adapter is for another model: {reason}")]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A value that no model computes with, so that nothing was written.
    #[error("tensor {tensor} of the adapter holds {value}")]
    NonFinite {
        /// The tensor.
        tensor: String,
        /// The first of them.
        value: f32,
    },
    /// The file cannot be written.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
