//! The page's connections: one request each, on loopback only.
//!
//! A thread accepts, and each connection has a thread of its own until its request is read: browsers
//! open some that stay silent. The page's files are sent from there. What concerns the answers waits
//! for the judge, who may not be there: while a model is trained, the page waits for the next answers.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::gate::Gate;
use super::request::Request;
use super::response::{Response, Status};
use crate::judge::waiting;

/// Connections at a time whose request is not read yet.
const CONNECTIONS: usize = 64;
/// How long a request may take to come, and how long nothing of it may come.
const SLOWEST: Duration = Duration::from_secs(10);

/// The files of the page: name, media type, text.
static FILES: [(&str, &str, &str); 6] = [
    ("judge", "text/html", include_str!("page/page.html")),
    ("page.css", "text/css", include_str!("page/page.css")),
    ("page.js", "text/javascript", include_str!("page/page.js")),
    ("answer.js", "text/javascript", include_str!("page/answer.js")),
    ("words.js", "text/javascript", include_str!("page/words.js")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// A page's server, as long as the process lives.
pub struct Server {
    /// The page's address, token included.
    pub url: String,
    asked: Receiver<Asked>,
}

/// A question of the page's that waits for its answer.
pub struct Asked {
    pub question: Question,
    stream: TcpStream,
}

/// What the page asks.
#[derive(Debug)]
pub enum Question {
    /// What is there to show?
    State,
    /// Do this: JSON.
    Act(Vec<u8>),
}

impl Server {
    /// A server on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.context("cannot open a page on this machine")?;
        let gate = Gate::new(listener.local_addr()?.port())?;
        let url = gate.url(FILES[0].0);
        let (sender, asked) = channel();
        thread::spawn(move || accept(&listener, &Arc::new(gate), &sender));
        Ok(Self { url, asked })
    }

    /// The next question, unless `stop` says that nobody waits for one any more.
    pub fn next(&self, stop: &dyn Fn() -> bool) -> Option<Asked> {
        waiting::receive(&self.asked, None, stop).ok()
    }
}

impl Asked {
    /// Answers it.
    pub fn answer(self, response: &Response) {
        response.send(self.stream);
    }
}

fn accept(listener: &TcpListener, gate: &Arc<Gate>, asked: &Sender<Asked>) {
    for stream in listener.incoming() {
        match stream {
            // One more is dropped: browsers ask again.
            Ok(stream) if Arc::strong_count(gate) <= CONNECTIONS => {
                let (gate, asked) = (gate.clone(), asked.clone());
                // Without a thread it is dropped, too.
                let _ = thread::Builder::new().spawn(move || receive(stream, &gate, &asked));
            }
            Ok(_) => {}
            // Out of something; it may pass.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Reads the request of a connection, and answers it or hands it on.
fn receive(mut stream: TcpStream, gate: &Gate, asked: &Sender<Asked>) {
    // Without its limits a connection is not read at all.
    let limits = [stream.set_read_timeout(Some(SLOWEST)), stream.set_write_timeout(Some(SLOWEST))];
    if limits.iter().any(Result::is_err) {
        return;
    }
    match Request::read(&mut stream, Instant::now() + SLOWEST).map(|request| route(gate, request)) {
        Err(None) => {}
        Err(Some(status)) | Ok(Err(status)) => Response::plain(status).send(stream),
        Ok(Ok(Route::File(response))) => response.send(stream),
        Ok(Ok(Route::Judge(question))) => {
            // Nobody is there any more once the judge is gone.
            let _ = asked.send(Asked { question, stream });
        }
    }
}

/// Who answers a request.
enum Route {
    File(Response),
    Judge(Question),
}

fn route(gate: &Gate, request: Request) -> Result<Route, Status> {
    let name = gate.admit(&request)?;
    let file = FILES.iter().find(|(file, ..)| *file == name);
    let is = |method: &str| match request.method == method {
        true => Ok(()),
        false => Err(Status::MethodNotAllowed),
    };
    match (name, file) {
        (_, Some((_, kind, text))) => {
            is("GET")?;
            Ok(Route::File(Response::file(kind, text)))
        }
        ("state", None) => {
            is("GET")?;
            Ok(Route::Judge(Question::State))
        }
        ("act", None) => {
            is("POST")?;
            let kind = request.content_type.as_deref().unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            match kind.eq_ignore_ascii_case("application/json") {
                true => Ok(Route::Judge(Question::Act(request.body))),
                false => Err(Status::WrongType),
            }
        }
        _ => Err(Status::NotFound),
    }
}
