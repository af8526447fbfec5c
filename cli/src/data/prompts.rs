//! Prompts to answer, from the same files that judgments come in.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use cutq_core::example::Example;
use serde_json::{Map, Value};

use super::formats::{self, Object};
use super::problem::{Problem, kind};
use super::read::{BadLine, ReadError};
use super::record::Origin;
use super::source::{self, Fault, Item, Items, Rows, Source};

/// A prompt that has a name.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Unique in its file: the object's `id`, or else its line.
    pub id: String,
    /// The prompt; its response is empty.
    pub example: Example,
}

/// The prompts of a file.
#[derive(Debug, Default)]
pub struct Prompts {
    /// In the order of the file.
    pub prompts: Vec<Prompt>,
    /// Fields that nothing uses, each with the number of objects that have it.
    pub unused: BTreeMap<String, usize>,
}

impl Prompts {
    /// Reads a file, or standard input (`-`).
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing; a line that is no prompt; an id that occurs twice.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let mut reader =
            Reader { file: path.into(), lines: HashMap::new(), found: Self::default() };
        let read = |source| ReadError::Read { path: path.to_owned(), source };
        let source = source::open(path)
            .map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
        match source {
            Source::Json(file) => {
                let mut items = Items::new(file);
                while let Some(item) = items.next().map_err(read)? {
                    item.and_then(|item| reader.item(item)).map_err(|fault| reader.bad(fault))?;
                }
            }
            Source::Parquet(file) => {
                let rows: Vec<io::Result<_>> = Rows::open(file).map_err(read)?.collect();
                for (row, line) in rows.into_iter().zip(1..) {
                    let row = row.map_err(read)?;
                    reader.fields(row, line).map_err(|fault| reader.bad(fault))?;
                }
            }
        }
        match reader.found.prompts.is_empty() {
            true => Err(ReadError::Empty { path: path.to_owned() }),
            false => Ok(reader.found),
        }
    }
}

/// Reads one object after the other.
struct Reader {
    file: Arc<Path>,
    /// Where each id occurred.
    lines: HashMap<String, usize>,
    found: Prompts,
}

impl Reader {
    /// One object, or a list of them inside one.
    fn item(&mut self, item: Item<'_>) -> Result<(), Fault> {
        match self.object(item) {
            Err(Fault { problem: Problem::NoPrompt { .. }, .. })
                if let Some(inner) = source::wrapped(item) =>
            {
                inner.into_iter().try_for_each(|item| self.object(item))
            }
            done => done,
        }
    }

    fn object(&mut self, item: Item<'_>) -> Result<(), Fault> {
        if !item.text.starts_with('{') {
            let found = kind(&item.parse::<Value>()?);
            return Err(Fault { line: item.line, problem: Problem::NotAnObject { found } });
        }
        let Object(fields) = item.parse()?;
        self.fields(fields, item.line)
    }

    fn fields(&mut self, fields: Map<String, Value>, line: usize) -> Result<(), Fault> {
        let prompt = formats::prompt(fields).map_err(|problem| Fault { line, problem })?;
        for name in prompt.unused {
            *self.found.unused.entry(name).or_default() += 1;
        }
        let id = prompt.id.unwrap_or_else(|| line.to_string());
        if let Some(first) = self.lines.insert(id.clone(), line) {
            return Err(Fault { line, problem: Problem::SameId { id, first } });
        }
        self.found.prompts.push(Prompt { id, example: prompt.example });
        Ok(())
    }

    fn bad(&self, fault: Fault) -> ReadError {
        let origin = Origin { file: self.file.clone(), line: fault.line };
        ReadError::Unusable(BadLine { origin, problem: fault.problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Prompts, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.jsonl");
        std::fs::write(&path, text).expect("writes");
        Prompts::read(&path).map_err(|error| error.to_string())
    }

    fn ids(text: &str) -> Vec<String> {
        read(text).expect(text).prompts.into_iter().map(|prompt| prompt.id).collect()
    }

    #[test]
    fn a_prompt_is_called_by_its_id_or_its_line() {
        let text = "{\"prompt\":\"a\",\"id\":\"x\"}\n\n{\"prompt\":\"b\",\"output\":\"c\"}\n";
        assert_eq!(ids(text), ["x", "3"]);
        assert_eq!(read(text).expect("reads").unused["output"], 1);
        assert_eq!(ids("{\"data\": [\n{\"prompt\":\"a\"},\n{\"prompt\":\"b\"}]}"), ["2", "3"]);
    }

    #[test]
    fn what_is_no_prompt_stops_with_its_line() {
        for (text, message) in [
            ("Say hi.\n", "p.jsonl:1: not valid JSON"),
            ("{\"prompt\":\"a\"}\n{\"text\":\"b\"}\n", "p.jsonl:2: no prompt"),
            ("{\"prompt\":\"a\",\"id\":1}\n{\"prompt\":\"b\",\"id\":1}\n", "id \"1\" of line 1"),
            ("[]", "holds no examples"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{error}");
        }
    }
}
