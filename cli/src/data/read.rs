//! From files to records, strict about every line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Map, Value};

use super::formats::{FieldName, Format, Object, Renaming};
use super::problem::{Problem, kind};
use super::record::{Origin, Record};
use super::source::{self, Fault, Item, Items, OpenError, Rows, Source};

/// A line that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct BadLine {
    /// File and line.
    pub origin: Origin,
    /// What is wrong with it.
    pub problem: Problem,
}

impl BadLine {
    fn hints(&self) -> String {
        let own = self.problem.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        own + "\nhint: --skip-bad-lines leaves such lines out and lists them"
    }
}

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened, or is none of data.
    #[error("cannot read the data file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: OpenError,
    },
    /// The file cannot be read to its end.
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
    #[error("{}{}", .0, .0.hints())]
    BadLine(#[from] BadLine),
    /// A line is no prompt, or no answer.
    #[error(transparent)]
    Unusable(BadLine),
    /// A field that was asked for.
    #[error("no example has a field {name:?}, which --field or --ignore-field asks for")]
    NoField {
        /// Its name.
        name: String,
    },
}

/// How files are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The format of every example.
    pub format: Format,
    /// Fields under other names.
    pub fields: &'a [FieldName],
    /// Fields that are left out.
    pub ignored: &'a [String],
    /// Leave out lines that cannot be used, instead of stopping.
    pub skip_bad_lines: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Records {
    /// The examples, in the order of the files.
    pub good: Vec<Record>,
    /// Lines left out, with the reasons; empty unless bad lines are skipped.
    pub skipped: Vec<BadLine>,
    /// What was understood.
    pub understood: Understood,
}

/// What was understood of the objects, and what not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Understood {
    /// Objects by the format they were read as.
    pub formats: BTreeMap<Format, usize>,
    /// Fields that nothing uses, each with the number of objects that have it.
    pub unused: BTreeMap<String, usize>,
    /// Responses left out because their judge is unsure.
    pub unsure: usize,
    /// Quotes in a field of their own that the response does not hold.
    pub missing_quotes: usize,
}

impl Reading<'_> {
    /// Reads every file in the order given; `bar` counts the examples.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing; a bad line unless they are skipped; a field of
    /// another name that no example has.
    pub fn files(&self, files: &[PathBuf], bar: &ProgressBar) -> Result<Records, ReadError> {
        let mut reader = self.reader(bar);
        for path in files {
            let source = source::open(path)
                .map_err(|source| ReadError::Open { path: path.clone(), source })?;
            reader.source(source, path)?;
        }
        reader.finish()
    }

    fn reader<'a>(&'a self, bar: &'a ProgressBar) -> Reader<'a> {
        let renaming = Renaming::new(self.fields, self.ignored);
        Reader { reading: self, renaming, bar, records: Records::default() }
    }
}

/// Reads one file after the other.
struct Reader<'a> {
    reading: &'a Reading<'a>,
    renaming: Renaming<'a>,
    bar: &'a ProgressBar,
    records: Records,
}

impl Reader<'_> {
    fn source(&mut self, source: Source, path: &Path) -> Result<(), ReadError> {
        let name: Arc<Path> = path.into();
        let count = |records: &Records| {
            (records.good.len(), records.skipped.len(), records.understood.unsure)
        };
        let before = count(&self.records);
        match source {
            Source::Json(file) => self.json(file, &name)?,
            Source::Parquet(file) => self.rows(file, &name)?,
        }
        match before == count(&self.records) {
            true => Err(ReadError::Empty { path: path.to_path_buf() }),
            false => Ok(()),
        }
    }

    fn json(&mut self, file: impl Read, name: &Arc<Path>) -> Result<(), ReadError> {
        let mut items = Items::new(file);
        while let Some(item) = items.next().map_err(|source| failed(name, source))? {
            match item {
                Ok(item) => self.item(item, name)?,
                Err(fault) => self.bad(fault, name)?,
            }
        }
        Ok(())
    }

    /// The rows of a table; they have numbers as lines do.
    fn rows(&mut self, file: File, name: &Arc<Path>) -> Result<(), ReadError> {
        let rows = Rows::open(file).map_err(|source| failed(name, source))?;
        for (row, line) in rows.zip(1..) {
            let fields = row.map_err(|source| failed(name, source))?;
            if let Err(fault) = self.fields(fields, line, name) {
                self.bad(fault, name)?;
            }
        }
        Ok(())
    }

    /// One object, or a list of them inside one.
    fn item(&mut self, item: Item<'_>, file: &Arc<Path>) -> Result<(), ReadError> {
        match self.object(item, file) {
            Err(Fault { problem: Problem::UnknownFormat { .. }, .. })
                if let Some(inner) = source::wrapped(item) =>
            {
                for item in inner {
                    if let Err(fault) = self.object(item, file) {
                        self.bad(fault, file)?;
                    }
                }
                Ok(())
            }
            Err(fault) => self.bad(fault, file),
            Ok(()) => Ok(()),
        }
    }

    fn object(&mut self, item: Item<'_>, file: &Arc<Path>) -> Result<(), Fault> {
        if !item.text.starts_with('{') {
            let found = kind(&item.parse::<Value>()?);
            return Err(Fault { line: item.line, problem: Problem::NotAnObject { found } });
        }
        let Object(fields) = item.parse()?;
        self.fields(fields, item.line, file)
    }

    fn fields(
        &mut self,
        mut fields: Map<String, Value>,
        line: usize,
        file: &Arc<Path>,
    ) -> Result<(), Fault> {
        self.bar.inc(1);
        self.renaming.apply(&mut fields);
        let parsed = self.reading.format.parse(fields);
        let parsed = parsed.map_err(|problem| Fault { line, problem })?;
        let Understood { formats, unused, unsure, missing_quotes } = &mut self.records.understood;
        *formats.entry(parsed.format).or_default() += 1;
        for name in parsed.unused {
            *unused.entry(name).or_default() += 1;
        }
        *missing_quotes += parsed.own.missing_quotes;
        if parsed.own.is_unsure {
            *unsure += 1;
            return Ok(());
        }
        let record = |example| Record { example, origin: Origin { file: file.clone(), line } };
        self.records.good.extend(parsed.examples.into_iter().map(record));
        Ok(())
    }

    fn bad(&mut self, fault: Fault, file: &Arc<Path>) -> Result<(), ReadError> {
        let origin = Origin { file: file.clone(), line: fault.line };
        let bad = BadLine { origin, problem: fault.problem };
        if !self.reading.skip_bad_lines {
            return Err(bad.into());
        }
        self.records.skipped.push(bad);
        Ok(())
    }

    fn finish(self) -> Result<Records, ReadError> {
        match self.renaming.missing().first() {
            Some(name) => Err(ReadError::NoField { name: (*name).to_owned() }),
            None => Ok(self.records),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> ReadError {
    ReadError::Read { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &'static [u8], skip: bool) -> Result<Records, ReadError> {
        let reading =
            Reading { format: Format::Auto, fields: &[], ignored: &[], skip_bad_lines: skip };
        let bar = ProgressBar::hidden();
        let mut reader = reading.reader(&bar);
        reader.source(Source::Json(Box::new(text)), Path::new("d.jsonl"))?;
        reader.finish()
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
    fn a_list_inside_an_object_is_found() {
        let text = b"{\"version\": 2,\n \"data\": [\n {\"instruction\":\"a\",\"output\":\"b\"},\n {\"instruction\":\"c\"}]}";
        let records = read_text(text, true).expect("one is good");
        assert_eq!(records.good[0].origin.line, 3);
        assert_eq!(records.skipped[0].origin.line, 4);
    }

    #[test]
    fn a_field_that_occurs_twice_is_a_bad_line() {
        let text = b"{\"instruction\":\"a\",\"output\":\"b\",\"judgment\":\"c\",\"judgment\":null}";
        let error = read_text(text, false).expect_err("twice").to_string();
        assert!(error.contains("field `judgment` occurs twice"), "{error}");
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
    fn empty_files_are_refused() {
        for text in [&b""[..], b" \n\n", b"[]", b"\xef\xbb\xbf"] {
            assert!(matches!(read_text(text, true), Err(ReadError::Empty { .. })));
        }
    }
}
