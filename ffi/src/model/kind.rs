//! GGUF files that hold something else than a model that writes text.

use crate::gguf::file::Gguf;

/// What a GGUF file holds that cannot be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A LoRA adapter.
    Adapter,
    /// What turns images or sound into tokens of another file's model.
    Projector,
    /// A model that turns texts into vectors.
    Embedder,
    /// What quantizing makes of a calibration text.
    Imatrix,
    /// Directions that are added between layers.
    ControlVector,
    /// A model that paints images, or a part of one.
    Painter,
    /// A model without its tensors.
    Vocabulary,
}

impl FileKind {
    /// What the file holds; `None` for a model, of whatever architecture.
    pub(super) fn of(gguf: &Gguf) -> Option<Self> {
        let architecture = gguf.str("general.architecture").unwrap_or("");
        let general = gguf.str("general.type").unwrap_or("");
        let is_imatrix = gguf.value("imatrix.chunk_count").is_some();
        match (general, architecture) {
            ("adapter", _) => Some(Self::Adapter),
            ("mmproj", _) | (_, "clip") => Some(Self::Projector),
            ("imatrix", _) => Some(Self::Imatrix),
            _ if is_imatrix => Some(Self::Imatrix),
            (_, "controlvector") => Some(Self::ControlVector),
            (_, name) if PAINTERS.contains(&name) => Some(Self::Painter),
            (_, name) if is_embedder(name) => Some(Self::Embedder),
            ("vocab", _) => Some(Self::Vocabulary),
            _ if gguf.tensors().is_empty() && gguf.has_tokenizer() => Some(Self::Vocabulary),
            _ => None,
        }
    }

    /// What it is, in words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Adapter => "a LoRA adapter, not a model",
            Self::Projector => "the part of a model that reads images or sound (mmproj)",
            Self::Embedder => "an embedding model, which writes no text",
            Self::Imatrix => "an importance matrix (imatrix), not a model",
            Self::ControlVector => "a control vector, not a model",
            Self::Painter => "a model that makes images, not text",
            Self::Vocabulary => "a vocabulary only, without a model's tensors",
        }
    }

    /// What to do about it.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Adapter => "name the model that it was trained for, and give this as its adapter",
            Self::Projector => "name the GGUF of the language model that it belongs to",
            Self::Imatrix => "name a GGUF that was quantized with it",
            Self::ControlVector | Self::Vocabulary => "name the GGUF of the model itself",
            Self::Embedder | Self::Painter => "name a GGUF of a language model",
        }
    }
}

/// Image models that are shipped as GGUF.
const PAINTERS: [&str; 6] = ["flux", "sd1", "sd3", "sdxl", "qwen_image", "wan"];

/// Whether llama.cpp has the architecture for its vectors alone.
fn is_embedder(name: &str) -> bool {
    name.contains("bert") || ["t5encoder", "gemma-embedding", "llama-embed"].contains(&name)
}
