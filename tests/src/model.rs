//! The real models that the tests run on, as `scripts/models.py` fetches them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A model of `vendor/models.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestModel {
    /// SmolLM2-135M-Instruct Q4_1, architecture llama.
    SmolLm2,
    /// Gemma 3 270M Q4_K_M, architecture gemma3.
    Gemma3,
    /// Qwen2.5-Coder-1.5B-Instruct Q4_K_M, architecture qwen2; 1.1 GB, for `make test-models`.
    Qwen2,
}

impl TestModel {
    /// The folder of its fixtures.
    pub fn fixture(self) -> &'static str {
        match self {
            Self::SmolLm2 => "smollm2",
            Self::Gemma3 => "gemma3",
            Self::Qwen2 => "qwen2",
        }
    }

    /// Keeps other tests of this binary from running a model at the same time: each uses every
    /// core, and together they only wait for each other.
    pub fn alone(self) -> MutexGuard<'static, ()> {
        static ONE: Mutex<()> = Mutex::new(());
        ONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file.
    ///
    /// # Panics
    /// If it is not there: a test never passes for want of its model.
    pub fn path(self) -> PathBuf {
        let file = match self {
            Self::SmolLm2 => "SmolLM2-135M-Instruct.Q4_1.gguf",
            Self::Gemma3 => "gemma-3-270m-Q4_K_M.gguf",
            Self::Qwen2 => "Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf",
        };
        let folder = std::env::var_os("CUTQ_MODELS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"), PathBuf::from);
        let path = folder.join(file);
        assert!(path.exists(), "{} is missing: `make test` fetches it", path.display());
        path
    }
}
