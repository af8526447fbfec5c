//! Files that are either complete or not there.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

/// Replaces the content of `path`, whole or not at all.
///
/// # Errors
/// If the file cannot be written; the old one is then untouched.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    cutq_ffi::replace_file(path, |file| file.write_all(bytes))
        .map_err(|source| FileError { path: path.to_owned(), source })
}

/// Waits until the content of a file or the entries of a folder are on the disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
