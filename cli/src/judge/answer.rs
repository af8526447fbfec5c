//! What is judged.

use cutq_core::example::Message;
use serde_json::{Map, Value};

/// An answer, as `cutq generate --data` writes it or any data set holds it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Unique in its file.
    pub id: String,
    /// Everything before the answer.
    pub messages: Vec<Message>,
    /// The answer.
    pub response: String,
    /// Whether it was cut at a number of tokens.
    pub truncated: bool,
    /// The object that it was read from, to which the judgment is added.
    pub fields: Map<String, Value>,
}

impl Answer {
    /// The conversation as one text, for judges that know no roles: the messages' contents, one per
    /// line.
    pub fn instruction(&self) -> String {
        let contents: Vec<&str> = self.messages.iter().map(|m| m.content.as_str()).collect();
        contents.join("\n")
    }
}
