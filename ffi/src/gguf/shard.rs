//! One file of a model, mapped into memory.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::gguf::error::GgufError;
use crate::gguf::format::FileFormat;
use crate::gguf::parse::Header;
use crate::gguf::tensor_info::TensorInfo;

/// What the system maps at most when a byte is read: it keeps large files in pages of up to this
/// size, wherever in the file a tensor begins or ends (Linux; other systems map less).
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// One file of a model: all of it, or one of its shards.
#[derive(Debug)]
pub(super) struct Shard {
    pub path: PathBuf,
    pub map: Mmap,
}

impl Shard {
    /// Maps `path` and reads its header.
    pub fn open(path: &Path) -> Result<(Self, Header), GgufError> {
        let io = |source| GgufError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(GgufError::Folder { path: path.to_owned() });
        }
        // SAFETY: the map is read-only; a file that another program shortens while it is mapped
        // ends this program with SIGBUS, as it does every program that maps its models.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if let Some(format) = FileFormat::of(&map) {
            return Err(GgufError::NotGguf { path: path.to_owned(), format });
        }
        Ok((Self { path: path.to_owned(), map }, Header::parse(path)?))
    }

    /// Checks that a tensor lies within the file.
    pub fn check(&self, name: &str, info: &TensorInfo) -> Result<(), GgufError> {
        let (end, len) = (info.offset + info.size, self.map.len());
        if end <= len {
            return Ok(());
        }
        Err(GgufError::Truncated {
            path: self.path.clone(),
            tensor: name.to_owned(),
            end: end as u64,
            len: len as u64,
        })
    }

    /// Lets the system take back the pages of these bytes, and of what was mapped with them.
    pub fn release(&self, range: Range<usize>) {
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

    /// Lets the system begin to read these bytes, without waiting for it.
    pub fn prefetch(&self, range: Range<usize>) {
        #[cfg(unix)]
        // An error leaves the reading to the first access.
        let _ = self.map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
    }
}
