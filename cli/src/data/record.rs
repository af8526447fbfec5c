//! An example that remembers where it was read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use cutq_core::example::Example;

/// Where an example was read: file and line (counted from 1) of its first character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file as the user named it.
    pub file: Arc<Path>,
    /// Line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// An example and the place it comes from.
#[derive(Clone, Debug)]
pub struct Record {
    /// Prompt, response and judgment.
    pub example: Example,
    /// File and line.
    pub origin: Origin,
}
