//! A GGUF file: metadata read once, tensor data left in a memory map.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::gguf::error::GgufError;
use crate::gguf::parse::Header;
use crate::gguf::tensor_info::TensorInfo;
use crate::gguf::value::Value;
use crate::sys;

/// What the system maps at most when a byte is read: it keeps large files in pages of up to this
/// size, wherever in the file a tensor begins or ends (Linux; other systems map less).
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// An open GGUF file. Cloning shares the map.
#[derive(Debug, Clone)]
pub struct Gguf {
    path: PathBuf,
    map: Arc<Mmap>,
    metadata: Arc<BTreeMap<String, Value>>,
    tensors: Arc<BTreeMap<String, TensorInfo>>,
}

impl Gguf {
    /// Maps `path` and reads its header; every tensor is checked to lie within the file.
    ///
    /// # Errors
    /// If the file cannot be opened, is not a GGUF, or is shorter than its header says.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        sys::capture_log();
        let io = |source| GgufError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is read-only; a file that another program shortens while it is mapped
        // ends this program with SIGBUS, as it does every program that maps its models.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if !map.starts_with(b"GGUF") {
            let found = map[..map.len().min(4)].to_vec();
            return Err(GgufError::NotGguf { path: path.to_owned(), found });
        }
        let header = Header::parse(path)?;
        let tensors = header.tensors();
        if let Some((name, info)) = tensors.iter().find(|(_, t)| t.offset + t.size > map.len()) {
            return Err(GgufError::Truncated {
                path: path.to_owned(),
                tensor: name.clone(),
                end: (info.offset + info.size) as u64,
                len: map.len() as u64,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            map: Arc::new(map),
            metadata: Arc::new(header.metadata()),
            tensors: Arc::new(tensors),
        })
    }

    /// The file's path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
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
        &self.map[info.offset..info.offset + info.size]
    }

    /// Lets the system take back the pages of these tensors: they are read from the file again
    /// when they are next needed. Does nothing where the system has no such call.
    pub(crate) fn release(&self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        let infos = names.into_iter().filter_map(|name| self.tensors().get(name.as_ref()));
        infos.for_each(|info| self.release_range(info.offset..info.offset + info.size));
    }

    /// [`Gguf::release`] of bytes of the file, and of what was mapped with them.
    pub(crate) fn release_range(&self, range: Range<usize>) {
        #[cfg(unix)]
        // SAFETY: the map is read-only and backed by the file, so that dropped pages come back
        // with the same bytes. An error leaves them where they are.
        let _ = unsafe {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            let start = range.start - range.start % LARGE_PAGE;
            let end = range.end.next_multiple_of(LARGE_PAGE).min(self.map.len());
            self.map.unchecked_advise_range(advice, start, end - start)
        };
    }

    /// Bytes that the system maps at most when these tensors are read.
    pub(crate) fn mapped_bytes(&self, infos: &[&TensorInfo]) -> usize {
        let pages = |info: &&TensorInfo| {
            info.offset / LARGE_PAGE..(info.offset + info.size).div_ceil(LARGE_PAGE)
        };
        infos.iter().flat_map(pages).collect::<BTreeSet<_>>().len() * LARGE_PAGE
    }

    /// Lets the system begin to read these tensors from the file, without waiting for it. Does
    /// nothing where the system has no such call.
    pub(crate) fn prefetch(&self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        #[cfg(unix)]
        for info in names.into_iter().filter_map(|name| self.tensors().get(name.as_ref())) {
            // An error leaves the reading to the first access.
            let _ = self.map.advise_range(memmap2::Advice::WillNeed, info.offset, info.size);
        }
    }

    /// The whole file.
    pub(crate) fn map(&self) -> &[u8] {
        &self.map
    }

    /// The error for a key that is missing or of another type.
    pub(crate) fn key_error(&self, key: &str, expected: &'static str) -> GgufError {
        GgufError::Key { path: self.path.clone(), key: key.to_owned(), expected }
    }
}
