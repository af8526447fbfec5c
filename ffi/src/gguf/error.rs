//! Why a GGUF file cannot be used.

use std::path::PathBuf;

use crate::gguf::format::FileFormat;
use crate::gguf::split::error::SplitError;

/// Why a GGUF file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file cannot be opened or mapped.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder.
    #[error("{path}: a folder, not a GGUF\nhint: name the GGUF file in it")]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// Another format, or a GGUF that cannot be read here.
    #[error("{path}: {format}\nhint: {}", format.hint())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// What it is.
        format: FileFormat,
    },
    /// The header does not parse.
    #[error("{path}: the GGUF header cannot be read: {reason}\nhint: {}", header_hint(reason))]
    Header {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A tensor's data lies outside the file.
    #[error(
        "{path}: truncated: tensor {tensor} ends at byte {end}, the file has {len}\n\
         hint: download it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The first tensor that does not fit.
        tensor: String,
        /// Where its data should end.
        end: u64,
        /// The length of the file.
        len: u64,
    },
    /// A metadata key is missing or has another type.
    #[error("{path}: metadata key {key} is missing or not {expected}")]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The type it should have.
        expected: &'static str,
    },
    /// A tensor that the architecture needs is missing.
    #[error("{path}: tensor {tensor} is missing")]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The shards of a model cannot be put together.
    #[error(transparent)]
    Split(#[from] SplitError),
}

/// What to do about a header that does not parse, by what the parser said.
fn header_hint(reason: &str) -> &'static str {
    match reason.contains("ggml type") || reason.contains("block size") {
        true => {
            "the type is one that llama.cpp knew before or came to know later: quantize the model \
             again, or take another file of it"
        }
        false => "is the file complete? Download it again",
    }
}
