//! Answers to be judged, from the same files that judgments come in.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cutq_core::example::{Example, Message};
use serde_json::{Map, Value};

use super::formats::{self, Object};
use super::problem::{Problem, kind};
use super::read::{BadLine, ReadError};
use super::record::Origin;
use super::source::{self, Fault, Item, Items, Source};

/// An answer, as `cutq generate --data` writes it or any data set holds it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Unique in its file: the object's `id`, or else its line.
    pub id: String,
    /// Everything before the answer.
    pub messages: Vec<Message>,
    /// The answer; it may be empty.
    pub response: String,
    /// The object that it was read from, to which the judgment is added.
    pub fields: Map<String, Value>,
}

impl Answer {
    /// The conversation as one text, for judges that know no roles.
    pub fn instruction(&self) -> String {
        Example::from_messages(self.messages.clone(), "", None).instruction()
    }
}

/// Reads the answers of a file, in its order.
///
/// # Errors
/// A file that cannot be read or holds nothing; a line that is no answer; an id that occurs twice.
pub fn answers(path: &Path) -> Result<Vec<Answer>, ReadError> {
    let failed = |source| ReadError::Read { path: path.to_owned(), source };
    let mut reader = Reader { file: path.into(), lines: HashMap::new(), answers: Vec::new() };
    let source =
        source::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
    let Source::Json(file) = source else {
        let reason = "answers are read from JSON, as `cutq generate --data` writes it";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, reason)));
    };
    let mut items = Items::new(file);
    while let Some(item) = items.next().map_err(failed)? {
        item.and_then(|item| reader.item(item)).map_err(|fault| reader.bad(fault))?;
    }
    match reader.answers.is_empty() {
        true => Err(ReadError::Empty { path: path.to_owned() }),
        false => Ok(reader.answers),
    }
}

/// Reads one object after the other.
struct Reader {
    file: Arc<Path>,
    /// Where each id occurred.
    lines: HashMap<String, usize>,
    answers: Vec<Answer>,
}

impl Reader {
    fn item(&mut self, item: Item<'_>) -> Result<(), Fault> {
        let line = item.line;
        let fault = |problem| Fault { line, problem };
        if !item.text.starts_with('{') {
            let found = kind(&item.parse::<Value>()?);
            return Err(fault(Problem::NotAnObject { found }));
        }
        let Object(fields) = item.parse()?;
        let id = match fields.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => line.to_string(),
        };
        if let Some(first) = self.lines.insert(id.clone(), line) {
            return Err(fault(Problem::SameId { id, first }));
        }
        let Example { messages, response, .. } = formats::answer(fields.clone()).map_err(fault)?;
        self.answers.push(Answer { id, messages, response, fields });
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

    fn read(text: &str) -> Result<Vec<Answer>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, text).expect("writes");
        answers(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_keeps_its_line_and_its_id() {
        let text = "{\"instruction\":\"a\",\"input\":\"b\",\"output\":\"\",\"id\":\"x#2\",\"score\":3,\
                    \"truncated\":true}\n{\"question\":\"c\",\"answer\":\"d\",\"feedback\":\"e\"}";
        let found = read(text).expect("two answers");
        let [first, second] = &found[..] else { panic!("{found:?}") };
        assert_eq!((first.id.as_str(), second.id.as_str()), ("x#2", "2"));
        assert_eq!(first.instruction(), "a\nb");
        assert_eq!(first.response, "");
        assert_eq!(first.fields["score"], 3);
        assert_eq!(second.response, "d");
    }

    #[test]
    fn what_is_no_answer_stops_with_its_line() {
        for (text, message) in [
            ("{\"instruction\":\"a\"}", "a.jsonl:1: no field `output`"),
            ("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", "a.jsonl:1: a pair"),
            (
                "{\"prompt\":\"a\",\"response\":\"b\",\"id\":1}\n{\"prompt\":\"a\",\"response\":\"b\",\
              \"id\":\"1\"}",
                "a.jsonl:2: the id \"1\" of line 1",
            ),
            ("[]", "holds no examples"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{error}");
        }
    }
}
