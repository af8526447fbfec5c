//! Who is let in to the page: whoever knows its address, and comes from no other page.
//!
//! Any program of this machine, and any page in its browser, can reach a port of loopback. A program
//! of another user does not know the token. A page of somebody else's does not either; should its name
//! be turned to this machine, `Host` gives it away, and `Origin` says where a request comes from.

use anyhow::{Result, anyhow};
use subtle::ConstantTimeEq;

use super::request::Request;
use super::response::Status;

/// Bytes of a token.
const TOKEN: usize = 16;

/// What a request has to know.
pub struct Gate {
    token: String,
    port: u16,
}

impl Gate {
    /// The gate of this port, with a new token.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(port: u16) -> Result<Self> {
        let mut bytes = [0; TOKEN];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("cannot draw a token: {error}"))?;
        Ok(Self { token: bytes.map(|byte| format!("{byte:02x}")).concat(), port })
    }

    /// The address of a file behind the gate.
    pub fn url(&self, file: &str) -> String {
        format!("http://127.0.0.1:{}/{}/{file}", self.port, self.token)
    }

    /// What a request asks for, behind the token.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn admit<'a>(&self, request: &'a Request) -> Result<&'a str, Status> {
        let host = request.host.as_deref().unwrap_or_default();
        let is_ours = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        if !is_ours.iter().any(|ours| ours.eq_ignore_ascii_case(host)) {
            return Err(Status::Forbidden);
        }
        let is_own = |origin: &str| origin.eq_ignore_ascii_case(&format!("http://{host}"));
        if !request.origin.as_deref().is_none_or(is_own) {
            return Err(Status::Forbidden);
        }
        let path = request.path.strip_prefix('/').unwrap_or_default();
        let (token, file) = path.split_once('/').unwrap_or((path, ""));
        match bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            true => Ok(file),
            false => Err(Status::Forbidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_address_is_let_in() {
        let gate = Gate { token: "secret".to_owned(), port: 80 };
        let admit = |path: &str, host: Option<&str>, origin: Option<&str>| {
            let (path, host, origin) =
                (path.to_owned(), host.map(str::to_owned), origin.map(str::to_owned));
            gate.admit(&Request { path, host, origin, ..Request::default() }).map(str::to_owned)
        };
        let host = Some("127.0.0.1:80");
        for (path, file) in [
            ("/secret/judge", "judge"),
            ("/secret", ""),
            ("/secret/../../etc/passwd", "../../etc/passwd"),
        ] {
            assert_eq!(admit(path, host, None), Ok(file.to_owned()));
        }
        assert!(admit("/secret/", Some("LOCALHOST:80"), Some("http://localhost:80")).is_ok());
        for (path, host, origin) in [
            ("/", host, None),
            ("secret/judge", host, None),
            ("/secre/judge", host, None),
            ("/secrets/judge", host, None),
            ("//secret/judge", host, None),
            ("/%73ecret/judge", host, None),
            ("http://127.0.0.1:80/secret/judge", host, None),
            ("/secret/judge", None, None),
            ("/secret/judge", Some("127.0.0.1"), None),
            ("/secret/judge", Some("127.0.0.1:8080"), None),
            ("/secret/judge", Some("evil.example:80"), None),
            ("/secret/judge", host, Some("null")),
            ("/secret/judge", host, Some("http://localhost:80")),
            ("/secret/judge", host, Some("https://127.0.0.1:80")),
            ("/secret/judge", host, Some("http://evil.example")),
        ] {
            assert_eq!(
                admit(path, host, origin),
                Err(Status::Forbidden),
                "{path} {host:?} {origin:?}"
            );
        }
    }

    #[test]
    fn a_token_is_long_and_new() {
        let [one, two] = [Gate::new(80), Gate::new(80)].map(|gate| gate.expect("a token"));
        assert_eq!(one.token.len(), 2 * TOKEN);
        assert_ne!(one.token, two.token);
        assert_eq!(one.url("judge"), format!("http://127.0.0.1:80/{}/judge", one.token));
    }
}
