//! What the page's server sends back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    LengthRequired,
    TooLarge,
    WrongType,
    HeadTooLarge,
    Stopped,
}

impl Status {
    /// The status line's code and reason.
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::Timeout => "408 Request Timeout",
            Self::Conflict => "409 Conflict",
            Self::LengthRequired => "411 Length Required",
            Self::TooLarge => "413 Content Too Large",
            Self::WrongType => "415 Unsupported Media Type",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Stopped => "503 Service Unavailable",
        }
    }
}

/// A response with its body.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: Status,
    /// Its media type.
    kind: &'static str,
    body: Vec<u8>,
}

/// What a page of ours may do: run, show and ask what comes from here, and nothing else. Nobody may
/// keep it, frame it, or learn its address.
const RULES: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n";

impl Response {
    /// A file of the page.
    pub fn file(kind: &'static str, text: &str) -> Self {
        Self { status: Status::Ok, kind, body: text.into() }
    }

    /// A value.
    pub fn json(status: Status, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("texts and numbers are JSON");
        Self { status, kind: "application/json", body }
    }

    /// Why something was not done.
    pub fn error(status: Status, why: impl ToString) -> Self {
        Self::json(status, &json!({"error": why.to_string()}))
    }

    /// An error that has nothing more to say than its name.
    pub fn plain(status: Status) -> Self {
        Self::error(status, &status.line()[4..])
    }

    /// Writes it, and ends the connection. Whoever does not read it to its end misses it: a connection
    /// that is closed over unread bytes can lose what was sent, so those are read for a second.
    pub fn send(&self, mut stream: TcpStream) {
        if self.write(&mut stream).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            let end = Instant::now() + Duration::from_secs(1);
            let mut part = [0; 4096];
            while Instant::now() < end && stream.read(&mut part).is_ok_and(|n| n > 0) {}
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (status, kind, length) = (self.status.line(), self.kind, self.body.len());
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n{RULES}\r\n"
        );
        out.write_all(&[head.as_bytes(), &self.body].concat())?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_its_length_and_its_rules() {
        let mut out = Vec::new();
        Response::plain(Status::NotFound).write(&mut out).expect("writes");
        let text = String::from_utf8(out).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\nContent-Type: application/json; "));
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("\r\nContent-Security-Policy: default-src 'none';"), "{head}");
        assert_eq!(body, "{\"error\":\"Not Found\"}");
    }
}
