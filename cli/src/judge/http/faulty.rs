//! A server on loopback that does what a test tells it, for tests here and of the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// What the server does with a request.
pub enum Act {
    /// Sends these bytes, then closes the connection.
    Send(Vec<u8>),
    /// The same a while later.
    Later(Duration, Vec<u8>),
    /// Says nothing for longer than any test.
    Hang,
}

/// What was asked.
#[derive(Clone)]
pub struct Request {
    /// Lines of the head, in small letters.
    pub head: String,
    /// The body.
    pub body: Value,
    /// How often the same was asked, this time included.
    pub times: usize,
}

/// The server. Its threads end with the test.
pub struct Faulty {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Faulty {
    /// A server that does with each request what `act` says.
    pub fn start(act: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (act, log) = (Arc::new(act), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, log) = (act.clone(), log.clone());
                // A client that leaves is what some tests are about.
                thread::spawn(move || drop(serve(stream, &*act, &log)));
            }
        });
        Self { address, requests }
    }

    /// The judge that it is.
    pub fn spec(&self) -> String {
        format!("http://{}/v1#tiny", self.address)
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no thread panics").clone()
    }
}

impl Request {
    /// The last message: the answer that is to be judged.
    pub fn text(&self) -> &str {
        let messages = self.body["messages"].as_array().expect("messages");
        messages.last().and_then(|message| message["content"].as_str()).expect("a text")
    }
}

fn serve(
    stream: TcpStream,
    act: &dyn Fn(&Request) -> Act,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|text| text.parse().ok()).expect("a length")];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).expect("JSON");
    let mut request = Request { head, body, times: 1 };
    {
        let mut log = log.lock().expect("no thread panics");
        request.times += log.iter().filter(|other| other.text() == request.text()).count();
        log.push(request.clone());
    }
    let mut stream = reader.into_inner();
    match act(&request) {
        Act::Send(bytes) => stream.write_all(&bytes),
        Act::Later(wait, bytes) => {
            thread::sleep(wait);
            stream.write_all(&bytes)
        }
        Act::Hang => {
            thread::sleep(Duration::from_secs(600));
            Ok(())
        }
    }
}

/// A response. `headers` are whole lines.
pub fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// A response with a finished text of the model's.
pub fn answer(content: &str) -> Vec<u8> {
    finished(&json!({"role": "assistant", "content": content}), "stop")
}

/// A response with a message of the model's and its reason to end there.
pub fn finished(message: &Value, finish_reason: &str) -> Vec<u8> {
    let choice = json!({"index": 0, "message": message, "finish_reason": finish_reason});
    let usage = json!({"prompt_tokens": 40, "completion_tokens": 4, "total_tokens": 44});
    let body = json!({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage});
    response(200, "Content-Type: application/json\r\n", &body.to_string())
}
