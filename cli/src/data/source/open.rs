//! Opens a data file, whatever it is packed in.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::input::{input, is_piped};

/// Why a file is not one of data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system's reason.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something else, known by its first bytes.
    #[error("it is {found}, not JSON\nhint: {hint}")]
    Foreign {
        /// What it is.
        found: &'static str,
        /// What to do.
        hint: &'static str,
    },
}

/// First bytes of what people take for data, with what to do about it.
const FOREIGN: [(&[u8], &str, &str); 7] = [
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"BZh", "compressed with bzip2", "unpack it first, or compress it with gzip or zstd"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it first, or compress it with gzip or zstd"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (b"GGUF", "a model", "data are judgments in JSON"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself: git lfs pull"),
];

const PARQUET: &[u8] = b"PAR1";
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// An open data file.
pub(crate) enum Source {
    /// JSON, unpacked, from a file or a pipe.
    Json(Box<dyn Read>),
    /// Rows of a table.
    Parquet(File),
}

/// A file, a pipe, or standard input (`-`), read once, from start to end. What is compressed with
/// gzip or zstd is unpacked.
///
/// # Errors
/// A file that cannot be opened or is none of data.
pub(crate) fn open(path: &Path) -> Result<Source, OpenError> {
    let mut file = input(path)?;
    let mut head = Vec::new();
    file.by_ref().take(32).read_to_end(&mut head)?;
    if head.starts_with(PARQUET) {
        return parquet(path).map(Source::Parquet);
    }
    if let Some(&(_, found, hint)) = FOREIGN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Err(OpenError::Foreign { found, hint });
    }
    let (gzip, zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
    let bytes = io::Cursor::new(head).chain(file);
    Ok(Source::Json(if gzip {
        Box::new(flate2::read::MultiGzDecoder::new(bytes))
    } else if zstd {
        Box::new(ruzstd::decoding::StreamingDecoder::new(bytes).map_err(io::Error::other)?)
    } else {
        Box::new(bytes)
    }))
}

/// A Parquet file has its contents at its end, so a pipe will not do.
fn parquet(path: &Path) -> Result<File, OpenError> {
    match is_piped(path) {
        false => Ok(File::open(path)?),
        true => Err(OpenError::Foreign {
            found: "a Parquet file in a pipe",
            hint: "save it as a file: its contents are at its end",
        }),
    }
}
