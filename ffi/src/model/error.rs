//! Why a model cannot be trained.

use crate::gguf::error::GgufError;
use crate::gguf::file::Gguf;
use crate::model::family::Family;
use crate::model::kind::FileKind;

/// Why a model cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// The file holds something else than a model that writes text.
    #[error("{path}: this is {}\nhint: {}", kind.text(), kind.hint())]
    NoModel {
        /// The file.
        path: String,
        /// What it holds.
        kind: FileKind,
    },
    /// The family is not one of those implemented.
    #[error(
        "{path}: architecture {name:?} is not supported{}\nhint: known are {}",
        missing.map(|what| format!(": it has {what}")).unwrap_or_default(), Family::names()
    )]
    Unsupported {
        /// The file.
        path: String,
        /// `general.architecture`.
        name: String,
        /// What it has that is not computed here, if the family is known.
        missing: Option<&'static str>,
    },
    /// The family is known, this variant of it is not.
    #[error("{path}: {what} is not supported")]
    Variant {
        /// The file.
        path: String,
        /// What stands in the way.
        what: String,
    },
    /// The file is broken.
    #[error(transparent)]
    Gguf(#[from] GgufError),
}

impl ArchitectureError {
    /// A variant of a known family.
    pub(crate) fn variant(gguf: &Gguf, what: String) -> Self {
        Self::Variant { path: gguf.path().display().to_string(), what }
    }
}
