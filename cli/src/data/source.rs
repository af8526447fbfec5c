//! Splits the bytes of a data file into one JSON text per example, each with its line.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::problem::{Problem, kind};

/// The JSON text of one example.
pub(super) struct Item<'a> {
    /// Line of the first character, counted from 1.
    pub line: usize,
    text: &'a [u8],
}

/// A problem and the line it is on.
pub(super) struct Fault {
    pub line: usize,
    pub problem: Problem,
}

impl Item<'_> {
    /// The example's fields.
    pub fn parse(&self) -> Result<Map<String, Value>, Fault> {
        let text = utf8(self.text, self.line)?;
        let value: Value = serde_json::from_str(text).map_err(|e| syntax(&e, self.line))?;
        match value {
            Value::Object(fields) => Ok(fields),
            other => Err(Fault {
                line: self.line,
                problem: Problem::NotAnObject { found: kind(&other) },
            }),
        }
    }
}

/// One item per element of a JSON array, or per line that is not blank.
///
/// # Errors
/// An array that is not valid UTF-8 or not valid JSON; in a file of lines each line is judged on
/// its own, by [`Item::parse`].
pub(super) fn items(bytes: &[u8]) -> Result<Vec<Item<'_>>, Fault> {
    // Editors on Windows put a byte order mark at the start.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'[') => elements(bytes),
        _ => Ok(lines(bytes)),
    }
}

fn lines(bytes: &[u8]) -> Vec<Item<'_>> {
    (1..)
        .zip(bytes.split(|&b| b == b'\n'))
        .filter(|(_, text)| !text.iter().all(u8::is_ascii_whitespace))
        .map(|(line, text)| Item { line, text })
        .collect()
}

fn elements(bytes: &[u8]) -> Result<Vec<Item<'_>>, Fault> {
    let text = utf8(bytes, 1)?;
    let raw: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| syntax(&e, 1))?;
    let (mut line, mut counted) = (1, 0);
    let mut items = Vec::with_capacity(raw.len());
    for element in raw {
        // A raw value borrows from `text`, so the distance of the two is its offset.
        let offset = element.get().as_ptr() as usize - text.as_ptr() as usize;
        line += newlines(&bytes[counted..offset]);
        counted = offset;
        items.push(Item { line, text: element.get().as_bytes() });
    }
    Ok(items)
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b == b'\n').count()
}

/// `first_line` is the line of the first byte.
fn utf8(bytes: &[u8], first_line: usize) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        Fault {
            line: first_line + newlines(before),
            problem: Problem::Utf8 { byte: before.len() - start + 1 },
        }
    })
}

fn syntax(error: &serde_json::Error, first_line: usize) -> Fault {
    // serde_json puts "at line L column C" at the end; the line here is the one of the file.
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    Fault {
        line: first_line + error.line().saturating_sub(1),
        problem: Problem::Json { message: message.to_owned(), column: error.column() },
    }
}
