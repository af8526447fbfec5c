//! `log.jsonl`: one JSON object per optimizer step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cutq_core::trainer::StepReport;
use serde::{Deserialize, Serialize};

use super::file::{FileError, replace};

/// One optimizer step: a line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// What it found; its fields stand in the line itself.
    #[serde(flatten)]
    pub report: StepReport,
    /// Passes over the data so far, this step included.
    pub epoch: f64,
    /// Wall time of the step.
    pub seconds: f64,
}

impl StepLine {
    /// Tokens run forward per second.
    pub fn tokens_per_second(&self) -> f64 {
        self.report.tokens as f64 / self.seconds.max(1e-9)
    }
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line is not a step.
    #[error("{}:{line}: not a step of the log", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The checkpoint is further than the log.
    #[error("{} ends at step {found}, the checkpoint is at step {expected}", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// The checkpoint's step.
        expected: u64,
        /// The log's last step.
        found: u64,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// The log of a run, open for appending.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of a run that stands after `steps` steps; lines of later steps are removed,
    /// since those steps will be done again.
    ///
    /// # Errors
    /// A log that cannot be read or written, or lacks steps.
    pub fn open(path: &Path, steps: u64) -> Result<Self, LogError> {
        if path.exists() {
            let kept: Vec<_> =
                Self::read(path)?.into_iter().filter(|line| line.report.step <= steps).collect();
            let found = kept.last().map_or(0, |line| line.report.step);
            if found < steps {
                return Err(LogError::Short { path: path.to_owned(), expected: steps, found });
            }
            let text: Vec<u8> = kept.iter().flat_map(json_line).collect();
            replace(path, &text)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| FileError { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends one step.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub fn append(&mut self, line: &StepLine) -> Result<(), FileError> {
        self.file.write_all(&json_line(line)).map_err(|source| self.fault(source))
    }

    /// Waits until all lines are on the disk.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(|source| self.fault(source))
    }

    fn fault(&self, source: io::Error) -> FileError {
        FileError { path: self.path.clone(), source }
    }

    /// All steps of a log, in order. A last line without its end, left by a process that was
    /// killed, is not a step.
    ///
    /// # Errors
    /// A log that cannot be read, or a line that is not a step.
    pub fn read(path: &Path) -> Result<Vec<StepLine>, LogError> {
        let text =
            fs::read(path).map_err(|source| LogError::Read { path: path.to_owned(), source })?;
        let end = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        text[..end]
            .split(|&b| b == b'\n')
            .zip(1..)
            .filter(|(line, _)| !line.is_empty())
            .map(|(text, line)| {
                serde_json::from_slice(text).map_err(|source| LogError::Line {
                    path: path.to_owned(),
                    line,
                    source,
                })
            })
            .collect()
    }
}

fn json_line(line: &StepLine) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("a step has string keys");
    text.push(b'\n');
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn line(step: u64, loss: f64, inappropriate: usize) -> StepLine {
        let report = StepReport {
            step,
            loss,
            l1: loss / 2.0,
            l2: loss / 2.0,
            judged_nll: None,
            inappropriate,
            judged_tokens: 100,
            quotes: None,
            target_tokens: 200,
            tokens: 400,
            lr: 1e-4,
            grad_norm: 1.0,
        };
        StepLine { report, epoch: step as f64 / 10.0, seconds: 2.0 }
    }

    #[test]
    fn steps_after_the_checkpoint_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.jsonl");
        let mut log = Log::open(&path, 0).expect("a new log");
        for step in 1..=5 {
            log.append(&line(step, 1.0 / step as f64, 3)).expect("writes");
        }
        // What a process leaves that is killed while it writes.
        log.file.write_all(b"{\"step\":6,\"lo").expect("writes");
        let mut log = Log::open(&path, 3).expect("opens again");
        log.append(&line(4, 0.5, 3)).expect("writes");
        let lines = Log::read(&path).expect("four steps");
        assert_eq!(lines.iter().map(|l| l.report.step).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(lines[2].report.loss, 1.0 / 3.0, "numbers come back exactly");
        assert_eq!(lines[3].report.loss, 0.5);
        assert!(matches!(Log::open(&path, 9), Err(LogError::Short { expected: 9, found: 4, .. })));
    }

    #[test]
    fn a_line_that_is_not_a_step_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.jsonl");
        fs::write(&path, "{\"step\":1}\n").expect("writes");
        assert!(matches!(Log::read(&path), Err(LogError::Line { line: 1, .. })));
    }
}
