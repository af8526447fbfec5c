//! `calls.jsonl`: every reply as it came, on the disk before it counts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::call::Key;
use super::reply::{Outcome, Reply};

/// Why replies cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line is no reply.
    #[error("{}:{line} is not a reply as cutq writes it", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What differs.
        source: serde_json::Error,
    },
    /// Another process writes it.
    #[error("another process is judging with {}", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
}

/// The replies of all runs, locked against a second writer as long as this value lives.
#[derive(Debug)]
pub struct CallLog {
    path: PathBuf,
    file: File,
    replies: HashMap<Key, Vec<Reply>>,
}

impl CallLog {
    /// Opens the file, which is made if it is not there. A last line that was not written to its end
    /// is removed: nobody counted it.
    ///
    /// # Errors
    /// A file that cannot be used, is in use, or holds something else.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let failed = |source| LogError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(path).map_err(failed)?;
        if let Err(error) = file.try_lock() {
            return Err(match error {
                std::fs::TryLockError::WouldBlock => LogError::Locked { path: path.to_owned() },
                std::fs::TryLockError::Error(source) => failed(source),
            });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = whole_lines(&text);
        file.set_len(whole.len() as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut log = Self { path: path.to_owned(), file, replies: HashMap::new() };
        parse(path, whole)?.into_iter().for_each(|reply| log.add(reply));
        Ok(log)
    }

    /// The replies in a file, in their order, whoever writes it meanwhile.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Vec<Reply>, LogError> {
        let text = fs::read_to_string(path)
            .map_err(|source| LogError::File { path: path.to_owned(), source })?;
        parse(path, whole_lines(&text))
    }

    /// Saves a reply, which counts from then on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, reply: Reply) -> Result<(), LogError> {
        let mut line = serde_json::to_vec(&reply).expect("replies have string keys");
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|source| LogError::File { path: self.path.clone(), source })?;
        self.add(reply);
        Ok(())
    }

    fn add(&mut self, reply: Reply) {
        self.replies.entry(reply.key.clone()).or_default().push(reply);
    }

    /// The answer to a call: the last one that was not withdrawn.
    pub fn answer(&self, key: &Key) -> Option<&Reply> {
        let last = |replies: &'_ Vec<Reply>| {
            replies
                .iter()
                .rposition(|reply| matches!(reply.outcome, Outcome::Answered | Outcome::Withdrawn))
        };
        let replies = self.replies.get(key)?;
        last(replies).map(|at| &replies[at]).filter(|reply| reply.outcome == Outcome::Answered)
    }

    /// All replies, in no order.
    pub fn replies(&self) -> impl Iterator<Item = &Reply> {
        self.replies.values().flatten()
    }

    /// The replies to all attempts of a call.
    pub fn replies_to(&self, key: &Key) -> &[Reply] {
        self.replies.get(key).map_or(&[], Vec::as_slice)
    }

    /// The last reply to a call, whatever it is.
    pub fn last(&self, key: &Key) -> Option<&Reply> {
        self.replies_to(key).last()
    }
}

/// `text` without a last line that was not written to its end.
fn whole_lines(text: &str) -> &str {
    &text[..text.rfind('\n').map_or(0, |end| end + 1)]
}

fn parse(path: &Path, lines: &str) -> Result<Vec<Reply>, LogError> {
    let reply = |(line, number)| {
        let fault = |source| LogError::Line { path: path.to_owned(), line: number, source };
        serde_json::from_str(line).map_err(fault)
    };
    lines.lines().zip(1..).map(reply).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(key: &str, outcome: Outcome, text: &str) -> Reply {
        Reply::new(Key::new([key]), outcome, text.to_owned(), std::time::Duration::from_millis(5))
    }

    #[test]
    fn what_was_received_is_kept_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let mut log = CallLog::open(&path).expect("a new file");
        log.append(reply("a", Outcome::Timeout, "")).expect("writes");
        log.append(reply("a", Outcome::Answered, "perfect")).expect("writes");
        assert!(matches!(CallLog::open(&path), Err(LogError::Locked { .. })));
        log.file.write_all(b"{\"key\":\"ab\",\"att").expect("writes");
        assert_eq!(CallLog::read(&path).expect("reads").len(), 2);
        drop(log);
        let mut log = CallLog::open(&path).expect("reads");
        let key = Key::new(["a"]);
        assert_eq!(log.answer(&key).and_then(|reply| reply.text.as_deref()), Some("perfect"));
        log.append(reply("a", Outcome::Withdrawn, "")).expect("writes");
        assert_eq!(log.answer(&key), None);
        log.append(reply("a", Outcome::Answered, "Wrong.")).expect("writes");
        log.append(reply("b", Outcome::Http, "500")).expect("writes");
        drop(log);
        let log = CallLog::open(&path).expect("reads");
        assert_eq!(log.answer(&key).and_then(|reply| reply.text.as_deref()), Some("Wrong."));
        let b = Key::new(["b"]);
        assert_eq!(
            (log.answer(&b), log.last(&b).map(|reply| reply.outcome)),
            (None, Some(Outcome::Http))
        );
        drop(log);
        std::fs::write(&path, "{}\n").expect("writes");
        assert!(matches!(CallLog::open(&path), Err(LogError::Line { line: 1, .. })));
    }
}
