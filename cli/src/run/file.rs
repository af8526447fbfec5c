//! Files that are either complete or not there.

use std::fs::{self, File};
use std::io;
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

/// Replaces `path`: `write` fills a file of another name beside it, which then takes its place.
///
/// A reader sees the old file or the new one, also after a power cut. If `write` fails, the old
/// file is untouched and the unfinished one removed.
///
/// # Errors
/// Whatever `write` reports, and what syncing and renaming report as a [`FileError`].
pub fn replace<E: From<FileError>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let unfinished = path.with_file_name(name);
    let fault = |source| FileError { path: path.to_owned(), source };
    let written = write(&unfinished).and_then(|()| {
        sync(&unfinished).map_err(fault)?;
        fs::rename(&unfinished, path).map_err(fault)?;
        Ok(())
    });
    if written.is_err() {
        // Best effort: the reason to report is the one that stopped the write.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// [`replace`] with bytes at hand.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn replace_bytes(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, |unfinished| {
        fs::write(unfinished, bytes).map_err(|source| FileError { path: path.to_owned(), source })
    })
}

/// Waits until the content of a file or the entries of a folder are on the disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        replace_bytes(&path, b"old").expect("writes");
        let failed: Result<(), FileError> = replace(&path, |unfinished| {
            fs::write(unfinished, b"ne").expect("half of it");
            Err(FileError { path: path.clone(), source: io::ErrorKind::StorageFull.into() })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
