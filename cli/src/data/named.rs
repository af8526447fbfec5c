//! The objects of a file, each with a name of its own: prompts, and answers to be judged.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::formats::Object;
use super::problem::{Problem, kind};
use super::read::{BadLine, ReadError};
use super::record::Origin;
use super::source::{self, Fault, Item, Items, Rows, Source};

/// What `read` makes of every object of a file, or of standard input (`-`), in its order, with its
/// name: its `id`, or else its line.
///
/// # Errors
/// A file that cannot be read or holds nothing; an object that `read` refuses, or of which the name
/// has occurred before.
pub(super) fn named<T>(
    path: &Path,
    read: impl Fn(Map<String, Value>) -> Result<T, Problem>,
) -> Result<Vec<(String, T)>, ReadError> {
    let failed = |source| ReadError::Read { path: path.to_owned(), source };
    let file: Arc<Path> = path.into();
    let bad = |Fault { line, problem }| {
        let origin = Origin { file: file.clone(), line };
        ReadError::Unusable(BadLine { origin, problem })
    };
    let mut reader = Reader { read, lines: HashMap::new(), found: Vec::new() };
    let source =
        source::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
    match source {
        Source::Json(text) => {
            let mut items = Items::new(text);
            while let Some(item) = items.next().map_err(failed)? {
                item.and_then(|item| reader.item(item)).map_err(bad)?;
            }
        }
        Source::Parquet(table) => {
            for (row, line) in Rows::open(table).map_err(failed)?.zip(1..) {
                reader.fields(row.map_err(failed)?, line).map_err(bad)?;
            }
        }
    }
    match reader.found.is_empty() {
        true => Err(ReadError::Empty { path: path.to_owned() }),
        false => Ok(reader.found),
    }
}

/// Reads one object after the other.
struct Reader<T, R> {
    read: R,
    /// Where each name occurred.
    lines: HashMap<String, usize>,
    found: Vec<(String, T)>,
}

impl<T, R: Fn(Map<String, Value>) -> Result<T, Problem>> Reader<T, R> {
    /// One object, or a list of them inside one.
    fn item(&mut self, item: Item<'_>) -> Result<(), Fault> {
        let done = self.object(item);
        if let Err(Fault { problem, .. }) = &done
            && matches!(problem, Problem::NoPrompt { .. } | Problem::UnknownFormat { .. })
            && let Some(inner) = source::wrapped(item)
        {
            return inner.into_iter().try_for_each(|item| self.object(item));
        }
        done
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
        let fault = |problem| Fault { line, problem };
        let name = name(&fields).map_err(fault)?.unwrap_or_else(|| line.to_string());
        let value = (self.read)(fields).map_err(fault)?;
        match self.lines.insert(name.clone(), line) {
            Some(first) => Err(fault(Problem::SameId { id: name, first })),
            None => {
                self.found.push((name, value));
                Ok(())
            }
        }
    }
}

/// The `id` of an object.
fn name(fields: &Map<String, Value>) -> Result<Option<String>, Problem> {
    match fields.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => {
            let (expected, found) = ("a number or a string that is not empty", kind(other));
            Err(Problem::WrongKind { field: "id".to_owned(), expected, found })
        }
    }
}
