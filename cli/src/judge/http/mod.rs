//! The judge that is a language model behind an OpenAI-compatible server:
//! `POST http://host/v1/chat/completions`.
//!
//! Every attempt is a reply of its own, also one that fails and is repeated. What a server sends is
//! never taken at its word: a success may hold an error, half a text, or nothing.
//!
//! | module        | what it does                                                     |
//! |---------------|------------------------------------------------------------------|
//! | `endpoint`    | the server and the model that a name means                       |
//! | `key`         | the server's password                                            |
//! | `question`    | what is posted                                                   |
//! | `client`      | one request                                                      |
//! | `completion`  | what its response says                                           |
//! | `next`, `retry_after` | what follows: nothing, a wait and another attempt, the end |
//! | `concurrency` | how many calls are open                                          |
//! | `server`      | what a run knows of it                                           |
//! | `run`         | all calls                                                        |

mod client;
mod completion;
mod concurrency;
mod endpoint;
#[cfg(test)]
mod faulty;
mod key;
mod next;
mod question;
mod retry_after;
mod run;
mod server;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use anyhow::{Context, Result};

use super::asking::Judge;
use super::call::Call;
use super::reply::Reply;
use client::Client;
use key::ApiKey;
use run::Run;
use server::Server;

pub use client::Timeouts;
pub use endpoint::Endpoint;
pub use question::Drawing;
pub use server::Options;

/// A server that judges.
pub struct HttpJudge {
    name: String,
    endpoint: Endpoint,
    server: Server,
}

impl HttpJudge {
    /// The judge behind `endpoint`, with the key of the environment if there is one.
    pub fn new(endpoint: &Endpoint, options: Options) -> Self {
        Self::with_key(endpoint, ApiKey::from_env(), options)
    }

    fn with_key(endpoint: &Endpoint, key: Option<ApiKey>, options: Options) -> Self {
        Self {
            name: name(endpoint, options.drawing),
            endpoint: endpoint.clone(),
            server: Server {
                client: Client::new(endpoint, key, options.timeouts),
                model: endpoint.model.clone(),
                options,
                sends_schema: options.has_schema,
            },
        }
    }

    /// What somebody should know before a key is sent in the clear.
    pub fn warning(endpoint: &Endpoint) -> Option<String> {
        let is_seen = endpoint.is_open_to_others() && ApiKey::from_env().is_some();
        is_seen.then(|| {
            format!("warning: the key goes to {endpoint} without encryption; https would hide it")
        })
    }
}

/// What a judge is called: replies that were drawn otherwise are not those of the same judge.
fn name(endpoint: &Endpoint, drawing: Drawing) -> String {
    let Drawing { temperature, max_tokens } = drawing;
    let mut name = endpoint.to_string();
    if temperature != Drawing::DEFAULT.temperature {
        name += &format!(" temperature {temperature}");
    }
    if max_tokens != Drawing::DEFAULT.max_tokens {
        name += &format!(" max_tokens {max_tokens}");
    }
    name
}

impl Judge for HttpJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let what = format!("cannot judge with {}", self.endpoint);
        Run::new(&mut self.server, calls).finish(received, stop).context(what)
    }
}
