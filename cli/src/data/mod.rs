//! Judgments read from files: strict about every line, so that training starts with known data.
//!
//! | format   | response                        | judgment   | prompt                     |
//! |----------|---------------------------------|------------|----------------------------|
//! | alpaca   | `output`                        | `judgment` | `instruction` and `input`  |
//! | shepherd | `answer`                        | `feedback` | `question`                 |
//! | chat     | last of `messages` (assistant)  | `judgment` | the messages before it     |
//!
//! A file is a JSON array or has one JSON object per line. Other fields are ignored. An example
//! without a judgment (absent, `null` or blank) is a positive one.

mod formats;
mod praise;
mod screen;
mod source;
mod tokenize;

pub use formats::Format;
pub use screen::{OnDuplicate, OnFailedJudge, OnPraise, ScreenReport, Screening, hold_out};
pub use tokenize::{Encode, OnLong, Tokenize, TokenizeReport};

use formats::Problem;
use praise::{is_failed_judge, praises_only};

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutq_core::example::Example;

/// Where an example was read: file and line (counted from 1) of its first character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file as the user named it.
    pub file: Arc<Path>,
    /// Line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// An example and the place it comes from.
#[derive(Clone, Debug)]
pub struct Record {
    /// Prompt, response and judgment.
    pub example: Example,
    /// File and line.
    pub origin: Origin,
}

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
pub enum DatasetError {
    /// The file cannot be opened or read.
    #[error("cannot read the data file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file has no example at all.
    #[error("{} holds no examples\nhint: give a JSON array, or one JSON object per line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line cannot be used and bad lines are not skipped.
    #[error("{0}\nhint: --skip-bad-lines goes on without such lines and lists them")]
    BadLine(#[from] BadLine),
    /// The whole file cannot be split into examples.
    #[error("{0}")]
    BadFile(BadLine),
}

/// What reading gave.
#[derive(Debug, Default)]
pub struct Reading {
    /// Good records, in the order of the files.
    pub records: Vec<Record>,
    /// Lines left out, with the reasons; empty unless bad lines are skipped.
    pub skipped: Vec<BadLine>,
}

/// Reads every file in the order given.
///
/// # Errors
/// A file that cannot be read or holds nothing; a bad line unless `skip_bad_lines`.
pub fn read(
    files: &[PathBuf],
    format: Format,
    skip_bad_lines: bool,
) -> Result<Reading, DatasetError> {
    let mut reading = Reading::default();
    for file in files {
        let bytes = std::fs::read(file)
            .map_err(|source| DatasetError::Read { path: file.clone(), source })?;
        read_bytes(&bytes, file, format, skip_bad_lines, &mut reading)?;
    }
    Ok(reading)
}

/// Reads the content of one file and appends to `reading`.
fn read_bytes(
    bytes: &[u8],
    file: &Path,
    format: Format,
    skip_bad_lines: bool,
    reading: &mut Reading,
) -> Result<(), DatasetError> {
    let file: Arc<Path> = file.into();
    let origin = |line| Origin { file: file.clone(), line };
    let items = source::items(bytes).map_err(|fault| {
        DatasetError::BadFile(BadLine { origin: origin(fault.line), problem: fault.problem })
    })?;
    if items.is_empty() {
        return Err(DatasetError::Empty { path: file.to_path_buf() });
    }
    for item in items {
        match item.parse().and_then(|fields| {
            format.example(&fields).map_err(|problem| source::Fault { line: item.line, problem })
        }) {
            Ok(example) => reading.records.push(Record { example, origin: origin(item.line) }),
            Err(fault) => {
                let bad = BadLine { origin: origin(fault.line), problem: fault.problem };
                if !skip_bad_lines {
                    return Err(bad.into());
                }
                reading.skipped.push(bad);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &[u8], skip: bool) -> Result<Reading, DatasetError> {
        let mut reading = Reading::default();
        read_bytes(text, Path::new("d.jsonl"), Format::Auto, skip, &mut reading)?;
        Ok(reading)
    }

    #[test]
    fn json_lines_keep_their_line_numbers() {
        let text = b"\n{\"instruction\":\"a\",\"output\":\"b\"}\r\n\r\n{\"question\":\"c\",\"answer\":\"d\",\"feedback\":\"e\"}";
        let records = read_text(text, false).expect("good lines").records;
        let lines: Vec<_> = records.iter().map(|r| r.origin.line).collect();
        assert_eq!(lines, [2, 4]);
        assert_eq!(records[1].example.judgment.as_deref(), Some("e"));
    }

    #[test]
    fn array_elements_keep_their_line_numbers() {
        let text = b"[\n {\"instruction\":\"a\",\n  \"output\":\"b\"},\n\n {\"instruction\":\"c\",\"output\":\"d\"}]\n";
        let records = read_text(text, false).expect("good array").records;
        let lines: Vec<_> = records.iter().map(|r| r.origin.line).collect();
        assert_eq!(lines, [2, 5]);
    }

    #[test]
    fn a_bad_line_stops_and_is_named() {
        let text = b"{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\":\"a\"}\n";
        let error = read_text(text, false).expect_err("no output").to_string();
        assert!(error.starts_with("d.jsonl:2: "), "{error}");
        let reading = read_text(text, true).expect("skips");
        assert_eq!((reading.records.len(), reading.skipped.len()), (1, 1));
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
            assert!(matches!(read_text(text, true), Err(DatasetError::Empty { .. })));
        }
    }
}
