//! `cutq judge` with a person, and what their page sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::place::Place;

/// Of `cutq`; the judge follows.
pub const FLAGS: &str = "judge answers.jsonl --out judgments.jsonl --max-failed 0 --json --judge";

/// The program, and its page.
pub struct Page {
    process: Child,
    pub port: u16,
    /// With slashes around.
    token: String,
}

impl Page {
    pub fn open(place: &Place) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cutq"))
            .current_dir(place.path(""))
            .args(FLAGS.split_whitespace().chain(["human"]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let url =
            lines.find_map(|line| line.unwrap().trim().strip_prefix("http://").map(str::to_owned));
        thread::spawn(move || lines.for_each(drop));
        let url = url.expect("an address on stderr");
        let (host, path) = url.split_once('/').unwrap();
        let token = format!("/{}", path.strip_suffix("judge").expect("the page's name"));
        assert_eq!(token.len(), 34, "{url}");
        let port = host.strip_prefix("127.0.0.1:").expect("loopback").parse().unwrap();
        Self { process, port, token }
    }

    /// Sends these bytes; the status, the head and the body of what comes back.
    pub fn send(&self, request: &[u8]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a response");
        (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
    }

    /// A request of the page's own, with other headers if they are named.
    pub fn request(&self, line: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut all = vec![
            ("Host", format!("127.0.0.1:{}", self.port)),
            ("Content-Type", "application/json".to_owned()),
            ("Content-Length", body.len().to_string()),
        ];
        for &(name, value) in headers {
            all.retain(|(known, _)| *known != name);
            all.push((name, value.replace("PORT", &self.port.to_string())));
        }
        let line = line.replace("TOKEN/", &self.token[1..]);
        let headers: String =
            all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{line} HTTP/1.1\r\n{headers}\r\n{body}")
    }

    pub fn status(&self, line: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        self.send(self.request(line, headers, body).as_bytes()).0
    }

    /// What there is to show.
    pub fn state(&self) -> Value {
        let (status, _, body) = self.send(self.request("GET /TOKEN/state", &[], "").as_bytes());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Does this, and returns what there is to show then.
    pub fn act(&self, act: &str, draft: &Value) -> Value {
        let step = json!({"turn": self.state()["turn"], "act": act, "draft": draft}).to_string();
        let (status, _, body) = self.send(self.request("POST /TOKEN/act", &[], &step).as_bytes());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Presses a key that needs no text.
    pub fn press(&self, act: &str) -> Value {
        self.act(act, &json!({"judgment": "", "quotes": []}))
    }

    pub fn criticise(&self, text: &str) -> Value {
        self.act("criticise", &json!({"judgment": text, "quotes": []}))
    }

    /// Goes to the end, finishes, and waits for the program: the counts that it prints.
    pub fn finish(mut self) -> Value {
        if self.state()["answer"].is_object() {
            self.press("leave");
        }
        assert_eq!(self.press("finish")["is_finished"], true);
        assert!(self.end().success());
        let mut text = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the program does not end");
    }

    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The response that a page shows.
pub fn shown(state: &Value) -> &str {
    state["answer"]["response"].as_str().unwrap_or("nothing")
}
