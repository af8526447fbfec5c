//! Where a model is asked: `http://host/v1#model`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http::Uri;

/// A model behind an OpenAI-compatible server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Without a slash at its end.
    base: String,
    /// As the server calls it.
    pub model: String,
    /// Whether the server is on this machine.
    pub is_local: bool,
}

/// A text that names no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("not of the form http://HOST/v1#MODEL")]
pub struct NoEndpoint;

impl Endpoint {
    /// What is posted to.
    pub fn url(&self) -> String {
        format!("{}/chat/completions", self.base)
    }

    /// Whether others on the way can read what is sent.
    pub fn is_open_to_others(&self) -> bool {
        !self.is_local && !self.base.starts_with("https:")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.base, self.model)
    }
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    /// Names and passwords are refused: a name of a judge is written to files.
    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let (base, model) = text.split_once('#').ok_or(NoEndpoint)?;
        let uri: Uri = base.parse().map_err(|_| NoEndpoint)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NoEndpoint)?;
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if !is_http || has_user || uri.query().is_some() || model.trim().is_empty() {
            return Err(NoEndpoint);
        }
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_local = address.map_or(host.eq_ignore_ascii_case("localhost"), |a| a.is_loopback());
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { base, model: model.to_owned(), is_local })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_model() {
        let parse = |text: &str| text.parse::<Endpoint>();
        let found = parse("http://127.0.0.1:8080/v1/#qwen/qwen2.5:7b").expect("an endpoint");
        assert_eq!(found.to_string(), "http://127.0.0.1:8080/v1#qwen/qwen2.5:7b");
        assert_eq!(found.url(), "http://127.0.0.1:8080/v1/chat/completions");
        for text in [
            "http://host/v1",
            "http://host/v1#",
            "http:///v1#m",
            "ftp://host/v1#m",
            "host/v1#m",
            "http://me:secret@host/v1#m",
            "http://host/v1?key=secret#m",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_others_on_the_way_can_read() {
        for (text, expected) in [
            ("http://localhost:11434/v1#m", false),
            ("http://[::1]:1/v1#m", false),
            ("http://127.9.9.9/v1#m", false),
            ("https://host/v1#m", false),
            ("http://192.168.0.2/v1#m", true),
            ("http://localhost.example/v1#m", true),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.is_open_to_others(), expected, "{text}");
        }
    }
}
