//! From files to records, strict about every line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::formats::Format;
use super::problem::Problem;
use super::record::{Origin, Record};
use super::source;

/// A line that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct BadLine {
    /// File and line.
    pub origin: Origin,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read the data file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file has no example at all.
    #[error(
        "{} holds no examples\nhint: give a JSON array, or one JSON object per line",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line cannot be used and bad lines are not skipped.
    #[error("{0}\nhint: --skip-bad-lines leaves such lines out and lists them")]
    BadLine(#[from] BadLine),
    /// The whole file cannot be split into examples.
    #[error("{0}")]
    BadFile(BadLine),
}

/// What was read.
#[derive(Debug, Default)]
pub struct Records {
    /// One per example, in the order of the files.
    pub good: Vec<Record>,
    /// Lines left out, with the reasons; empty unless bad lines are skipped.
    pub skipped: Vec<BadLine>,
}

/// Reads every file in the order given.
///
/// # Errors
/// A file that cannot be read or holds nothing; a bad line unless `skip_bad_lines`.
pub fn read(files: &[PathBuf], format: Format, skip_bad_lines: bool) -> Result<Records, ReadError> {
    let mut records = Records::default();
    for file in files {
        let bytes =
            std::fs::read(file).map_err(|source| ReadError::Read { path: file.clone(), source })?;
        read_bytes(&bytes, file, format, skip_bad_lines, &mut records)?;
    }
    Ok(records)
}

/// Reads the content of one file and appends to `records`.
fn read_bytes(
    bytes: &[u8],
    file: &Path,
    format: Format,
    skip_bad_lines: bool,
    records: &mut Records,
) -> Result<(), ReadError> {
    let file: Arc<Path> = file.into();
    let origin = |line| Origin { file: file.clone(), line };
    let items = source::items(bytes).map_err(|fault| {
        ReadError::BadFile(BadLine { origin: origin(fault.line), problem: fault.problem })
    })?;
    if items.is_empty() {
        return Err(ReadError::Empty { path: file.to_path_buf() });
    }
    for item in items {
        match item.parse().and_then(|fields| {
            format.example(&fields).map_err(|problem| source::Fault { line: item.line, problem })
        }) {
            Ok(example) => records.good.push(Record { example, origin: origin(item.line) }),
            Err(fault) => {
                let bad = BadLine { origin: origin(fault.line), problem: fault.problem };
                if !skip_bad_lines {
                    return Err(bad.into());
                }
                records.skipped.push(bad);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &[u8], skip: bool) -> Result<Records, ReadError> {
        let mut records = Records::default();
        read_bytes(text, Path::new("d.jsonl"), Format::Auto, skip, &mut records)?;
        Ok(records)
    }

    #[test]
    fn json_lines_keep_their_line_numbers() {
        let text = b"\n{\"instruction\":\"a\",\"output\":\"b\"}\r\n\r\n{\"question\":\"c\",\"answer\":\"d\",\"feedback\":\"e\"}";
        let records = read_text(text, false).expect("good lines").good;
        let lines: Vec<_> = records.iter().map(|r| r.origin.line).collect();
        assert_eq!(lines, [2, 4]);
        assert_eq!(records[1].example.judgment.as_deref(), Some("e"));
    }

    #[test]
    fn array_elements_keep_their_line_numbers() {
        let text = b"[\n {\"instruction\":\"a\",\n  \"output\":\"b\"},\n\n {\"instruction\":\"c\",\"output\":\"d\"}]\n";
        let records = read_text(text, false).expect("good array").good;
        let lines: Vec<_> = records.iter().map(|r| r.origin.line).collect();
        assert_eq!(lines, [2, 5]);
    }

    #[test]
    fn a_bad_line_stops_and_is_named() {
        let text = b"{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\":\"a\"}\n";
        let error = read_text(text, false).expect_err("no output").to_string();
        assert!(error.starts_with("d.jsonl:2: "), "{error}");
        let records = read_text(text, true).expect("skips");
        assert_eq!((records.good.len(), records.skipped.len()), (1, 1));
    }

    #[test]
    fn invalid_utf8_is_named_with_line_and_byte() {
        let text = b"{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\":\"\xff\"}\n";
        let error = read_text(text, false).expect_err("not UTF-8").to_string();
        assert!(error.starts_with("d.jsonl:2: invalid UTF-8 at byte 17"), "{error}");
        let array = b"[\n{\"instruction\":\"\xff\"}]";
        let error = read_text(array, true).expect_err("whole file").to_string();
        assert!(error.starts_with("d.jsonl:2: invalid UTF-8 at byte 17"), "{error}");
    }

    #[test]
    fn empty_files_are_refused() {
        for text in [&b""[..], b" \n\n", b"[]", b"\xef\xbb\xbf"] {
            assert!(matches!(read_text(text, true), Err(ReadError::Empty { .. })));
        }
    }
}
