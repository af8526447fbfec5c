//! Files that are either complete or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Writes `path`, whole or not at all: `write` fills a temporary file beside it, which is flushed
/// to the disk and then takes its place.
///
/// A reader sees the old file or the new one, also after a power cut. A link stays, and what it
/// points to is replaced.
///
/// # Errors
/// What `write`, the flush or the rename report; the old file is then untouched and the unfinished
/// one removed. What is no regular file, such as a device, a pipe or a folder, is never replaced.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let path = &check_replaceable(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = temporary(folder.unwrap_or(Path::new(".")))?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The file that [`replace`] would write: `path`, or what it points to if it is a link.
///
/// # Errors
/// If there is something that is no regular file.
pub fn check_replaceable(path: &Path) -> io::Result<PathBuf> {
    let file = follow(path)?;
    match fs::metadata(&file) {
        Ok(found) if !found.is_file() => {
            let what = if found.is_dir() { "it is a folder" } else { "it is no regular file" };
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        // What is not there can be made, and what cannot be looked at cannot be written either.
        _ => Ok(file),
    }
}

/// What links point to, whether or not it exists.
fn follow(path: &Path) -> io::Result<PathBuf> {
    /// As many as Linux follows.
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "its links lead round in a circle"))
}

/// Temporary files are private to their owner unless asked otherwise; what takes a file's place is
/// as readable as any other file, within the process's umask.
#[cfg(unix)]
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
}

#[cfg(not(unix))]
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    Builder::new().tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.gguf");
        replace(&path, |file| file.write_all(b"old")).expect("writes");
        let failed = replace(&path, |file| {
            file.write_all(b"ne")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn only_regular_files_are_replaced_and_links_stay() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let _pipe = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        fs::create_dir(at("folder")).expect("a folder");
        symlink(at("socket"), at("to-socket")).expect("a link");
        symlink("b", at("a")).expect("a link");
        symlink("a", at("b")).expect("a link");
        for name in ["socket", "folder", "to-socket", "a"] {
            assert!(replace(&at(name), |_| Ok(())).is_err(), "{name}");
        }
        symlink("new", at("link")).expect("a link");
        for text in ["one", "two"] {
            replace(&at("link"), |file| file.write_all(text.as_bytes())).expect("writes");
            assert_eq!(fs::read_to_string(at("new")).expect("is there"), text);
            assert!(at("link").is_symlink());
        }
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let mode = |name: &str| {
            let metadata = fs::metadata(folder.path().join(name)).expect("is there");
            metadata.permissions().mode()
        };
        fs::write(folder.path().join("usual"), "").expect("writes");
        replace(&folder.path().join("replaced"), |_| Ok(())).expect("writes");
        assert_eq!(mode("replaced"), mode("usual"));
    }
}
