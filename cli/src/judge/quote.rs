//! What a judgment quotes.

use serde::{Deserialize, Serialize};

/// A place in the response that a judgment is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// What stands there.
    pub text: String,
    /// Its first character, counted in Unicode scalar values of the response.
    pub start: usize,
    /// The character behind its last.
    pub end: usize,
}
