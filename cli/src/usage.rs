//! Command lines that make no sense.

use std::fmt;

/// Flags that contradict each other or the files they name. The program ends with status 2.
#[derive(Debug)]
pub struct UsageError(String);

impl UsageError {
    /// `message` names the flags.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
