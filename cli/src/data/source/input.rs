//! What can be read: a file, a pipe, or standard input (`-`).

use std::fs::{self, File};
use std::io::{self, Read, stdin};
use std::path::Path;

/// The bytes of a file or a pipe; of standard input where the path is `-`.
///
/// # Errors
/// If it cannot be opened.
pub fn input(path: &Path) -> io::Result<Box<dyn Read>> {
    Ok(match path.as_os_str() == "-" {
        true => Box::new(stdin()),
        false => Box::new(File::open(path)?),
    })
}

/// Whether it can be read only once. What is not there is left to [`input`], which says so.
pub fn is_piped(path: &Path) -> bool {
    let is_other = |found: fs::Metadata| !found.is_file() && !found.is_dir();
    path.as_os_str() == "-" || fs::metadata(path).is_ok_and(is_other)
}
