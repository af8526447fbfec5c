//! What is sent to the page's server.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use super::response::Status;

/// Bytes of a request before its body.
const HEAD: usize = 16 << 10;
/// Headers of it.
const HEADERS: usize = 64;
/// Bytes of its body.
const BODY: usize = 64 << 10;

/// A request, as far as it matters here.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    pub method: String,
    /// As it was sent: nothing is decoded.
    pub path: String,
    pub host: Option<String>,
    pub origin: Option<String>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Why there is no request: a status to answer with, or nobody to answer.
pub type Unread = Option<Status>;

impl Request {
    /// Reads a request, until `end` at the latest.
    ///
    /// # Errors
    /// What is no request, too large, or too slow.
    pub fn read(stream: &mut impl Read, end: Instant) -> Result<Self, Unread> {
        let mut bytes = Vec::new();
        let (mut request, length, body_at) = loop {
            if let Some(found) = head(&bytes)? {
                break found;
            }
            if bytes.len() > HEAD {
                return Err(Some(Status::HeadTooLarge));
            }
            more(stream, &mut bytes, end)?;
        };
        if length > BODY {
            return Err(Some(Status::TooLarge));
        }
        while bytes.len() < body_at + length {
            more(stream, &mut bytes, end)?;
        }
        request.body = bytes[body_at..body_at + length].to_vec();
        Ok(request)
    }
}

/// Reads what is there, one byte at least.
fn more(stream: &mut impl Read, bytes: &mut Vec<u8>, end: Instant) -> Result<(), Unread> {
    let late = if bytes.is_empty() { None } else { Some(Status::Timeout) };
    if Instant::now() >= end {
        return Err(late);
    }
    let mut part = [0; 4096];
    match stream.read(&mut part) {
        Ok(0) => Err(None),
        Ok(n) => {
            bytes.extend_from_slice(&part[..n]);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(late)
        }
        Err(_) => Err(None),
    }
}

/// The request without its body, the body's length, and where it begins; nothing as long as the head
/// has no end.
fn head(bytes: &[u8]) -> Result<Option<(Request, usize, usize)>, Unread> {
    let bad = Some(Status::BadRequest);
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let body_at = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(at)) => at,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Some(Status::HeadTooLarge)),
        Err(_) => return Err(bad),
    };
    // One that stands twice says two things.
    let header = |name: &str| {
        let mut found =
            parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => match std::str::from_utf8(one.value) {
                Ok(value) => Ok(Some(value.to_owned())),
                Err(_) => Err(bad),
            },
            (Some(_), Some(_)) => Err(bad),
        }
    };
    let is_post = parsed.method == Some("POST");
    let length = match header("content-length")? {
        _ if header("transfer-encoding")?.is_some() => return Err(Some(Status::LengthRequired)),
        // Not what `parse` takes besides: `+5`.
        Some(text) if text.bytes().all(|digit| digit.is_ascii_digit()) => {
            text.parse().map_err(|_| Some(Status::TooLarge))?
        }
        Some(_) => return Err(bad),
        None if is_post => return Err(Some(Status::LengthRequired)),
        None => 0,
    };
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        host: header("host")?,
        origin: header("origin")?,
        content_type: header("content-type")?,
        body: Vec::new(),
    };
    Ok(Some((request, length, body_at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Gives a byte at a time, as a slow network may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = 1.min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn read(text: &str) -> Result<Request, Unread> {
        let end = Instant::now() + Duration::from_secs(60);
        let found = Request::read(&mut Slow(text.as_bytes()), end);
        assert_eq!(Request::read(&mut text.as_bytes(), end), found, "in one piece");
        found
    }

    #[test]
    fn a_request_is_read_however_it_comes() {
        let text = "POST /t/act HTTP/1.1\r\nhost: localhost:1\r\nContent-Type: application/json\r\n\
                    Content-Length: 2\r\n\r\n{}";
        let expected = Request {
            method: "POST".to_owned(),
            path: "/t/act".to_owned(),
            host: Some("localhost:1".to_owned()),
            content_type: Some("application/json".to_owned()),
            body: b"{}".to_vec(),
            ..Request::default()
        };
        assert_eq!(read(text), Ok(expected));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let post = |headers: &str| format!("POST / HTTP/1.1\r\n{headers}\r\n");
        for (text, expected) in [
            (String::new(), None),
            ("GET / HTTP/1.1\r\nHost: x\r\n".to_owned(), None),
            (post("Content-Length: 9\r\n") + "{}", None),
            ("hello\r\n\r\n".to_owned(), Some(Status::BadRequest)),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), Some(Status::BadRequest)),
            (post("Content-Length: +2\r\n") + "{}", Some(Status::BadRequest)),
            (post(""), Some(Status::LengthRequired)),
            (post("Transfer-Encoding: chunked\r\n"), Some(Status::LengthRequired)),
            (post("Content-Length: 65537\r\n"), Some(Status::TooLarge)),
            (post("Content-Length: 99999999999999999999999\r\n"), Some(Status::TooLarge)),
            (post(&"X: y\r\n".repeat(65)), Some(Status::HeadTooLarge)),
        ] {
            assert_eq!(read(&text), Err(expected), "{text}");
        }
        let endless = format!("GET /{} HTTP/1.1", "x".repeat(2 * HEAD));
        let end = Instant::now() + Duration::from_secs(60);
        assert_eq!(Request::read(&mut endless.as_bytes(), end), Err(Some(Status::HeadTooLarge)));
        assert_eq!(Request::read(&mut &b"GET"[..], Instant::now()), Err(None));
    }
}
