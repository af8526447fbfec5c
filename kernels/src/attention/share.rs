//! Which of the threads of a call this is.

/// One of the threads that compute a result together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This thread, below `n_threads`.
    pub thread: usize,
    /// All of them.
    pub n_threads: usize,
}

impl Share {
    /// Everything on one thread.
    pub const WHOLE: Share = Share { thread: 0, n_threads: 1 };
}
