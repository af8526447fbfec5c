//! Answers to be judged, from the same files that judgments come in.

use std::path::Path;

use cutq_core::example::{Example, Message};
use serde_json::{Map, Value};

use super::formats;
use super::named::named;
use super::read::ReadError;

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
    let read = |fields: Map<String, Value>| Ok((formats::answer(fields.clone())?, fields));
    let answer = |(id, (Example { messages, response, .. }, fields))| Answer {
        id,
        messages,
        response,
        fields,
    };
    Ok(named(path, read)?.into_iter().map(answer).collect())
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
