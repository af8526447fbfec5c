//! The answers so far: `OUT.part`, a line each as it is done, under a line that says what they depend
//! on. So a process may be killed at any moment, and the next one goes on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::answer::Answered;
use crate::run::Difference;

/// Answers in a file that is not complete.
pub struct PartFile {
    path: PathBuf,
    file: File,
    /// The lines, by id.
    lines: HashMap<String, String>,
}

impl PartFile {
    /// The file beside `out`.
    pub fn path_of(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".part");
        name.into()
    }

    /// What the answers in the file depend on; `None` if there is no such file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn header(out: &Path) -> Result<Option<Value>> {
        let path = Self::path_of(out);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        // Killed before its first line was whole, it has no answers either.
        let first = text.split_once('\n').map(|(first, _)| first);
        first
            .map(serde_json::from_str)
            .transpose()
            .with_context(|| format!("{} was not written by cutq", path.display()))
    }

    /// Begins the file, or goes on with it if it was begun under the same `header`.
    ///
    /// # Errors
    /// Answers that depend on something else; a file that cannot be read or written.
    pub fn open(out: &Path, header: &Value) -> Result<Self> {
        let path = Self::path_of(out);
        let found = Self::header(out)?;
        let lines = match &found {
            None => HashMap::new(),
            Some(found) => {
                refuse_difference(&path, found, header)?;
                lines(&path)?
            }
        };
        let open = || -> io::Result<File> {
            let mut file =
                OpenOptions::new().create(true).append(true).truncate(false).open(&path)?;
            if found.is_none() {
                file.set_len(0)?;
                writeln!(file, "{header}")?;
            }
            Ok(file)
        };
        let file = open().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file, lines })
    }

    /// Whether the answer is there.
    pub fn has(&self, id: &str) -> bool {
        self.lines.contains_key(id)
    }

    /// Adds an answer; it is in the file when this returns.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, id: &str, line: &Map<String, Value>) -> Result<()> {
        let line = serde_json::to_string(line).expect("names are strings");
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.lines.insert(id.to_owned(), line);
        Ok(())
    }

    /// Writes the answers of `ids` as `out`, and removes this file.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish<'a>(self, out: &Path, ids: impl Iterator<Item = &'a str>) -> Result<()> {
        let lines: Vec<&String> = ids.map(|id| &self.lines[id]).collect();
        cutq_ffi::replace_file(out, |file| {
            lines.iter().try_for_each(|line| file.write_all(format!("{line}\n").as_bytes()))
        })
        .with_context(|| format!("cannot write {}", out.display()))?;
        fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }

    /// The answers there are.
    pub fn answers(&self) -> impl Iterator<Item = Answered> {
        self.lines.values().filter_map(|line| serde_json::from_str(line).ok())
    }
}

/// The lines of answers. One without its end, left by a process that was killed, is cut off.
fn lines(path: &Path) -> Result<HashMap<String, String>> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if end < text.len() {
        let file = OpenOptions::new().write(true).open(path);
        let cut = file.and_then(|file| file.set_len(end as u64));
        cut.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let text = String::from_utf8_lossy(&text[..end]);
    let line = |(line, number): (&str, usize)| {
        let answer: Answered = serde_json::from_str(line)
            .with_context(|| format!("{}:{number}: not an answer", path.display()))?;
        Ok((answer.id, line.to_owned()))
    };
    text.lines().zip(1..).skip(1).map(line).collect()
}

/// Names the first setting that is another than when the file was begun.
fn refuse_difference(path: &Path, begun: &Value, now: &Value) -> Result<()> {
    let path = path.display();
    match Difference::of(begun, now) {
        None => Ok(()),
        Some(difference) => bail!(
            "{path} was begun with other settings: {difference}\nhint: repeat the command as it was, or \
             remove {path} to begin again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(id: &str) -> Map<String, Value> {
        let value = json!({"id": id, "output": "x", "tokens": 1, "truncated": false});
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn a_file_that_was_cut_goes_on_and_ends_in_the_order_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("a.jsonl");
        let header = json!({"seed": 1});
        let mut part = PartFile::open(&out, &header).expect("begins");
        part.append("b", &answer("b")).expect("writes");
        part.file.write_all(b"{\"id\": \"a\", \"ou").expect("writes");
        let mut part = PartFile::open(&out, &header).expect("goes on");
        assert!(part.has("b") && !part.has("a"));
        part.append("a", &answer("a")).expect("writes");
        let part = PartFile::open(&out, &header).expect("goes on");
        assert_eq!(part.answers().count(), 2);
        part.finish(&out, ["a", "b"].into_iter()).expect("ends");
        let text = fs::read_to_string(&out).expect("is there");
        let ids: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).expect("JSON")["id"].take())
            .collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(!PartFile::path_of(&out).exists());
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("a.jsonl");
        PartFile::open(&out, &json!({"model": "m", "seed": 1})).expect("begins");
        let other = PartFile::open(&out, &json!({"model": "m", "seed": 2})).map(|_| ());
        let message = other.expect_err("another seed").to_string();
        assert!(message.contains("seed was 1, now it is 2"), "{message}");
        // Killed within the first line.
        fs::write(PartFile::path_of(&out), "{\"model\"").expect("writes");
        PartFile::open(&out, &json!({"seed": 3})).expect("begins again");
    }
}
