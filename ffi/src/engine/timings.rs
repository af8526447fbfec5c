//! Where the time of a step goes.

use std::time::Duration;

/// What an [`crate::Engine`] has spent on the parts of its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// The layers forward, and the embedding before them.
    pub forward: Duration,
    /// The head, forward and backward.
    pub head: Duration,
    /// The layers backward, with whatever is computed again for it.
    pub backward: Duration,
}
