//! Splits the bytes of a data file into one JSON text per example, each with its line.
//!
//! JSON lines, arrays, objects over several lines and any of these one after another are all read
//! the same way: as JSON values with nothing between them but blanks and commas. Only a window of
//! the file is in memory.

use std::io::{self, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::data::problem::Problem;

/// The JSON text of one example.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// Line of the first character, counted from 1.
    pub line: usize,
    /// One JSON value.
    pub text: &'a str,
}

/// A problem and the line it is on.
#[derive(Debug)]
pub(crate) struct Fault {
    pub line: usize,
    pub problem: Problem,
}

/// The items of one file, one after the other.
pub(crate) struct Items<R> {
    input: R,
    /// Bytes that are read and not yet used up: those from `at`.
    window: Vec<u8>,
    at: usize,
    /// Whether the window reaches the end of the file.
    at_end: bool,
    /// The line at `at`, counted from 1.
    line: usize,
    /// Bytes between the start of that line and `at`.
    column: usize,
    /// The line of the bracket that an array began with.
    array: Option<usize>,
}

/// How much is read at once; more where a value is longer.
const CHUNK: usize = 1 << 18;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the window holds at its start.
enum Found {
    /// A whole value of so many bytes.
    Value(usize),
    /// What may become a value with more bytes.
    Part,
    /// No value.
    Wrong(serde_json::Error),
}

impl<R: Read> Items<R> {
    pub fn new(input: R) -> Self {
        Self { input, window: Vec::new(), at: 0, at_end: false, line: 1, column: 0, array: None }
    }

    /// The next item, or what stands in its place; `None` at the end. After a fault it goes on with
    /// the next line that may begin an item.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Result<Item<'_>, Fault>>> {
        if !self.skip_separators()? {
            // An array without its end is a file without its end.
            let open = self.array.take();
            return Ok(open.map(|line| Err(Fault { line, problem: Problem::OpenArray })));
        }
        loop {
            match self.find() {
                Found::Value(len) => return Ok(Some(self.value(len))),
                Found::Part => self.read_more()?,
                Found::Wrong(error) => return self.fault(&error).map(|fault| Some(Err(fault))),
            }
        }
    }

    /// Uses up blanks, commas, byte order marks and the brackets of an array; whether anything is
    /// left.
    fn skip_separators(&mut self) -> io::Result<bool> {
        loop {
            let rest = &self.window[self.at..];
            match rest.first() {
                None if self.at_end => return Ok(false),
                None => {
                    self.read_more()?;
                    continue;
                }
                Some(byte) if byte.is_ascii_whitespace() || *byte == b',' => {}
                Some(b'[') if self.array.is_none() => self.array = Some(self.line),
                Some(b']') if self.array.is_some() => self.array = None,
                Some(0xef) if rest.starts_with(BYTE_ORDER_MARK) => self.advance(2),
                Some(_) => return Ok(true),
            }
            self.advance(1);
        }
    }

    fn find(&self) -> Found {
        let rest = &self.window[self.at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
        let found = values.next();
        let len = values.byte_offset();
        match found {
            // A number may go on behind the window.
            Some(Ok(_)) if len < rest.len() || self.at_end => Found::Value(len),
            Some(Err(error)) if self.at_end || !error.is_eof() => Found::Wrong(error),
            _ => Found::Part,
        }
    }

    fn value(&mut self, len: usize) -> Result<Item<'_>, Fault> {
        let (line, at) = (self.line, self.at);
        self.advance(len);
        let text = utf8(&self.window[at..at + len], line)?;
        Ok(Item { line, text })
    }

    /// What is wrong, and on to the next line that may begin an item: where the item is broken in a
    /// later line than its first, one that is indented no deeper.
    fn fault(&mut self, error: &serde_json::Error) -> io::Result<Fault> {
        let (first, column) = (self.line, self.column);
        let line = self.rest_of_line()?;
        let len = line.len();
        let alone = match utf8(line, first) {
            Err(fault) => Some(fault),
            Ok(text) => {
                let error = serde_json::from_str::<&RawValue>(text.trim_end()).err();
                error.map(|error| syntax(&error, first))
            }
        };
        self.advance(len);
        let fault = syntax(error, first);
        if fault.line > first {
            self.skip_to_item(column)?;
        }
        // What is broken where the next item begins was never finished.
        let unfinished = error.is_eof() || self.line <= fault.line;
        Ok(alone.filter(|_| unfinished || fault.line == first).unwrap_or(fault))
    }

    /// Uses up lines until one begins an item and is indented by at most `column`.
    fn skip_to_item(&mut self, column: usize) -> io::Result<()> {
        loop {
            let line = self.rest_of_line()?;
            let indent = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let begins = line.get(indent).is_some_and(|byte| b"{[".contains(byte));
            if line.is_empty() || (begins && indent <= column) {
                return Ok(());
            }
            let len = line.len();
            self.advance(len);
        }
    }

    /// From here to the end of the line, with the end; empty at the end of the file.
    fn rest_of_line(&mut self) -> io::Result<&[u8]> {
        let end = |text: &[u8]| text.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        while !self.at_end && end(&self.window[self.at..]).is_none() {
            self.read_more()?;
        }
        let rest = &self.window[self.at..];
        Ok(&rest[..end(rest).unwrap_or(rest.len())])
    }

    /// Adds at least as many bytes to the window as it holds, so that a long value is looked at a
    /// few times only.
    fn read_more(&mut self) -> io::Result<()> {
        self.window.drain(..self.at);
        self.at = 0;
        let wanted = self.window.len().max(CHUNK) as u64;
        let read = self.input.by_ref().take(wanted).read_to_end(&mut self.window)?;
        self.at_end = read == 0;
        Ok(())
    }

    fn advance(&mut self, len: usize) {
        let used = &self.window[self.at..self.at + len];
        self.line += newlines(used);
        self.column = match used.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => used.len() - end - 1,
            None => self.column + used.len(),
        };
        self.at += len;
    }
}

impl<'a> Item<'a> {
    /// The item's value.
    ///
    /// # Errors
    /// JSON that `T` is not, with its line.
    pub fn parse<T: Deserialize<'a>>(self) -> Result<T, Fault> {
        serde_json::from_str(self.text).map_err(|error| syntax(&error, self.line))
    }
}

pub(super) fn newlines(bytes: &[u8]) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    fn items(text: &[u8]) -> Vec<Result<(usize, String), (usize, String)>> {
        let mut items = Items::new(Slow(text));
        let mut found = Vec::new();
        while let Some(item) = items.next().expect("reads") {
            found.push(match item {
                Ok(item) => Ok((item.line, item.text.to_owned())),
                Err(fault) => Err((fault.line, fault.problem.to_string())),
            });
        }
        found
    }

    fn good(text: &str) -> Vec<(usize, String)> {
        items(text.as_bytes()).into_iter().map(|item| item.expect(text)).collect()
    }

    #[test]
    fn every_shape_gives_the_same_items() {
        let (a, b) = ("{\"a\": [1, 2]}", "{\"b\": \"]}\\\"{\"}");
        for (text, lines) in [
            (format!("{a}\n{b}"), [1, 2]),
            (format!("\n{a}\r\n\r\n{b}\r\n"), [2, 4]),
            (format!("\u{feff}{a},\n\u{feff}{b},"), [1, 2]),
            (format!("[{a}, {b}]"), [1, 1]),
            (format!("[\n{a},\n\n{b},\n]\n"), [2, 4]),
            (format!("[{a}]\n[{b}]"), [1, 2]),
            (format!("{a}{b}"), [1, 1]),
            (format!("{a}\r{b}\r"), [1, 1]),
        ] {
            let expected = [(lines[0], a.to_owned()), (lines[1], b.to_owned())];
            assert_eq!(good(&text), expected, "{text:?}");
        }
        let pretty = "{\n  \"a\": [\n    1\n  ]\n}\n{\n  \"b\": 2\n}\n";
        assert_eq!(good(pretty).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 6]);
        for empty in ["", " \n\n", "[]", "\u{feff}", "[\n]"] {
            assert_eq!(good(empty), [], "{empty:?}");
        }
    }

    #[test]
    fn a_bad_line_takes_no_other_with_it() {
        for (bad, at, message) in [
            ("{\"a\": 1", 2, "EOF while parsing an object"),
            ("{\"a\": \"cut off", 2, "EOF while parsing a string"),
            ("instruction,output", 2, "expected value"),
            ("{'a': 1}", 2, "key must be a string"),
            ("{\"a\": 1,}", 2, "key must be a string"),
            ("{\n  \"a\": 1,\n  b: 2\n}", 4, "key must be a string"),
        ] {
            let text = format!("{{\"first\": 1}}\n{bad}\n{{\"last\": 1}}\n");
            let found = items(text.as_bytes());
            let [Ok(first), Err((line, problem)), Ok(last)] = &found[..] else {
                panic!("{bad}: {found:?}");
            };
            assert_eq!((first.0, *line), (1, at), "{bad}");
            assert!(problem.contains(message), "{bad}: {problem}");
            assert_eq!(last.1, "{\"last\": 1}", "{bad}");
        }
        let array = "[\n  {\n    \"a\": {\n    b: 1\n  },\n  {\"last\": 1}\n]";
        let found = items(array.as_bytes());
        assert!(found.len() == 2 && found[1].is_ok(), "{found:?}");
    }

    #[test]
    fn what_is_not_utf8_is_named_with_line_and_byte() {
        let found = items(b"{\"a\": 1}\n{\"a\": \"\xff\"}\n{\"a\": 2}");
        let problem = found[1].as_ref().expect_err("not UTF-8");
        assert_eq!(problem, &(2, "invalid UTF-8 at byte 8 of the line".to_owned()));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_file_that_is_cut_off_is_noticed() {
        let found = items(b"{\"a\": 1}\n[{\"a\": 1},\n{\"a\": 2}");
        let (line, problem) = found[3].as_ref().expect_err("no end");
        assert!(*line == 2 && problem.contains("never closed"), "{line}: {problem}");
        let found = items(b"{\"a\": 1}\n{\"a\": ");
        assert!(found[1].as_ref().is_err_and(|(line, _)| *line == 2), "{found:?}");
    }
}
