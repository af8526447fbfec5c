//! The server as a run finds it, and how it is asked.

use std::time::Duration;

use super::client::{Client, Timeouts};
use super::question::Drawing;

/// How a server is asked.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long to wait for a reply.
    pub timeouts: Timeouts,
    /// The most calls that are open at once.
    pub concurrency: usize,
    /// How often a call is repeated whose failure may pass.
    pub retries: usize,
    /// The wait before the first repetition.
    pub first_wait: Duration,
    /// How replies are drawn.
    pub drawing: Drawing,
    /// Whether the judge's prompt asks for JSON.
    pub has_schema: bool,
}

/// A server that can be asked.
pub struct Server {
    /// Asks it.
    pub client: Client,
    /// The model, as the server calls it.
    pub model: String,
    /// How it is asked.
    pub options: Options,
    /// Whether questions have a schema: until the server shows that it refuses one.
    pub sends_schema: bool,
}
