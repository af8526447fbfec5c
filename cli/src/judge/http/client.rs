//! One request and its response, whatever becomes of them.

use std::time::{Duration, SystemTime};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::{Agent, Body, Error};

use super::endpoint::Endpoint;
use super::key::ApiKey;
use super::retry_after;
use crate::judge::reply::Outcome;

/// The longest body that is read. A judgment is shorter by far.
const LONGEST_BODY: u64 = 4 << 20;

/// Asks one server; cheap to clone, and all clones share their connections.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    url: String,
    key: Option<ApiKey>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a whole reply, the connection included.
    pub reply: Duration,
}

/// What a server sends.
pub struct Response {
    /// Its status.
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// What is not UTF-8 is replaced.
    pub body: String,
}

/// Why there is no response.
pub struct Failure {
    /// The kind.
    pub outcome: Outcome,
    /// In words.
    pub text: String,
    /// Whether it may be another time.
    pub may_pass: bool,
}

impl Client {
    /// A client for a server. A proxy of the environment is used, but not for this machine.
    pub fn new(endpoint: &Endpoint, key: Option<ApiKey>, timeouts: Timeouts) -> Self {
        // A redirected POST would become a GET, and the key would go to another server.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(timeouts.connect))
            .timeout_global(Some(timeouts.reply))
            .user_agent(concat!("cutq/", env!("CARGO_PKG_VERSION")));
        let config = if endpoint.is_local { config.proxy(None) } else { config };
        Self { agent: config.build().new_agent(), url: endpoint.url(), key }
    }

    /// Posts a JSON body. Neither a response nor a failure repeats the key.
    ///
    /// # Errors
    /// If no whole response comes.
    pub fn post(&self, body: &[u8]) -> Result<Response, Failure> {
        let mut request = self.agent.post(&self.url).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key.header());
        }
        let response = request.send(body).map_err(|error| self.failure(&error, Outcome::Http))?;
        let (head, body) = response.into_parts();
        let header = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|text| retry_after::parse(text, SystemTime::now()));
        let body = read(body).map_err(|error| self.failure(&error, Outcome::Cut))?;
        Ok(Response { status: head.status.as_u16(), retry_after, body: self.hide(&body) })
    }

    /// What `error` makes of a call; `otherwise` where it is neither of time nor of length.
    fn failure(&self, error: &Error, otherwise: Outcome) -> Failure {
        let outcome = match error {
            Error::Timeout(_) => Outcome::Timeout,
            Error::BodyExceedsLimit(_) => Outcome::Http,
            _ => otherwise,
        };
        let never = matches!(
            error,
            Error::BodyExceedsLimit(_) | Error::BadUri(_) | Error::Tls(_) | Error::Rustls(_)
        );
        Failure { outcome, text: self.hide(&error.to_string()), may_pass: !never }
    }

    fn hide(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.hide(text))
    }
}

fn read(mut body: Body) -> Result<String, Error> {
    let bytes = body.with_config().limit(LONGEST_BODY).read_to_vec()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
