//! A GGUF file: metadata read once, tensor data left in a memory map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::gguf::error::GgufError;
pub(crate) use crate::gguf::shard::LARGE_PAGE;
use crate::gguf::shard::Shard;
use crate::gguf::split::add_shards;
use crate::gguf::tensor_info::TensorInfo;
use crate::gguf::value::Value;
use crate::sys;

/// An open GGUF file, with its shards if it is a split one. Cloning shares the maps.
#[derive(Debug, Clone)]
pub struct Gguf {
    path: PathBuf,
    shards: Arc<Vec<Shard>>,
    metadata: Arc<BTreeMap<String, Value>>,
    tensors: Arc<BTreeMap<String, TensorInfo>>,
}

impl Gguf {
    /// Maps `path`, and the other shards if it is the first of several, and reads the headers;
    /// every tensor is checked to lie within its file.
    ///
    /// # Errors
    /// If a file cannot be opened, is not a GGUF, or is shorter than its header says; if shards are
    /// missing or do not belong together.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        sys::capture_log();
        let (shard, header) = Shard::open(path)?;
        let (metadata, mut tensors) = (header.metadata(), header.tensors(0));
        tensors.iter().try_for_each(|(name, info)| shard.check(name, info))?;
        let mut shards = vec![shard];
        add_shards(&mut shards, &metadata, &mut tensors)?;
        Ok(Self {
            path: path.to_owned(),
            shards: Arc::new(shards),
            metadata: Arc::new(metadata),
            tensors: Arc::new(tensors),
        })
    }

    /// The file's path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file that it was read from: the path that was opened, and those of further shards.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| shard.path.as_path())
    }

    /// `general.architecture`.
    ///
    /// # Errors
    /// If the key is missing.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.str("general.architecture")
            .ok_or_else(|| self.key_error("general.architecture", "a string"))
    }

    /// A metadata value by its full key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A string by its full key.
    pub fn str(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Tokens that the model was trained to hold, `ARCHITECTURE.context_length`, if the file says.
    pub fn context_length(&self) -> Option<usize> {
        let architecture = self.architecture().ok()?;
        usize::try_from(self.int(&format!("{architecture}.context_length"))?).ok()
    }

    /// An integer by its full key.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether it holds a tokenizer: llama.cpp ends the process when it is asked for text without.
    pub fn has_tokenizer(&self) -> bool {
        self.str("tokenizer.ggml.model").is_some_and(|kind| !matches!(kind, "none" | "no_vocab"))
    }

    /// A number by its full key.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Value::Float(number) => Some(*number),
            Value::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, GgufError> {
        self.tensors
            .get(name)
            .ok_or_else(|| GgufError::NoTensor { path: self.path.clone(), tensor: name.to_owned() })
    }

    /// The bytes of a tensor, in the map.
    pub fn data(&self, info: &TensorInfo) -> &[u8] {
        &self.file_of(info)[info.range()]
    }

    /// Lets the system take back the pages of these tensors: they are read from the file again
    /// when they are next needed. Does nothing where the system has no such call.
    pub(crate) fn release(&self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        let infos = names.into_iter().filter_map(|name| self.tensors().get(name.as_ref()));
        infos.for_each(|info| self.release_tensor(info));
    }

    /// [`Gguf::release`] of one tensor, and of what was mapped with it.
    pub(crate) fn release_tensor(&self, info: &TensorInfo) {
        self.shards[info.shard].release(info.range());
    }

    /// Bytes that the system maps at most when these tensors are read.
    pub(crate) fn mapped_bytes(&self, infos: &[&TensorInfo]) -> usize {
        let pages = |info: &&TensorInfo| {
            let range = info.range();
            let shard = info.shard;
            (range.start / LARGE_PAGE..range.end.div_ceil(LARGE_PAGE))
                .map(move |page| (shard, page))
        };
        infos.iter().flat_map(pages).collect::<BTreeSet<_>>().len() * LARGE_PAGE
    }

    /// Lets the system begin to read these tensors from the file, without waiting for it. Does
    /// nothing where the system has no such call.
    pub(crate) fn prefetch(&self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        for info in names.into_iter().filter_map(|name| self.tensors().get(name.as_ref())) {
            self.shards[info.shard].prefetch(info.range());
        }
    }

    /// The whole file that a tensor lies in.
    pub(crate) fn file_of(&self, info: &TensorInfo) -> &[u8] {
        &self.shards[info.shard].map
    }

    /// The error for a key that is missing or of another type.
    pub(crate) fn key_error(&self, key: &str, expected: &'static str) -> GgufError {
        GgufError::Key { path: self.path.clone(), key: key.to_owned(), expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::header::GgufHeader;

    #[test]
    fn some_tokenizers_are_none() {
        let folder = tempfile::tempdir().expect("a folder");
        for (kind, expected) in [("gpt2", true), ("none", false), ("no_vocab", false)] {
            let mut header = GgufHeader::new();
            header.str("tokenizer.ggml.model", kind);
            let path = folder.path().join(kind);
            std::fs::write(&path, header.bytes()).expect("writes");
            assert_eq!(Gguf::open(&path).expect("opens").has_tokenizer(), expected, "{kind}");
        }
    }
}
