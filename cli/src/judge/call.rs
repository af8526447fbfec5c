//! What a judge is asked about one answer.

use std::fmt;
use std::sync::Arc;

use cutq_core::example::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::Answer;

/// What tells a call from any other: the SHA-256 of everything that its reply depends on, in
/// hexadecimal digits. The same question to the same judge has the same key in every run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key of these parts; each counts with its length, so that none runs into the next.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(format!("{:x}", hash.finalize()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A question to a judge.
#[derive(Clone, Debug)]
pub struct Call {
    /// See [`Key`].
    pub key: Key,
    /// What it is about.
    pub answer: Arc<Answer>,
    /// The judge's prompt, for judges that are language models.
    pub messages: Vec<Message>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Key::new(["ab", "c"]), Key::new(["a", "bc"]));
        assert_eq!(Key::new(["ab", "c"]), Key::new(["ab", "c"]));
        assert_eq!(Key::new([]).to_string().len(), 64);
    }
}
