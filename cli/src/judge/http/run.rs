//! All calls of a run: asked, repeated, and handed on as their replies come.
//!
//! One thread decides; each open call has a thread of its own, which does nothing but wait. So a call
//! that hangs delays no other, and none is waited for when the run ends early.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::client::{Failure, Response};
use super::completion::{Completion, message};
use super::concurrency::{Concurrency, Epoch};
use super::next::{Delays, Next, after, delays, is_overload};
use super::question::{Question, seed};
use super::server::Server;
use crate::judge::call::Call;
use crate::judge::reply::{Outcome, Reply, Usage};
use crate::judge::waiting::receive;

/// Calls in a row that end without a reply before nothing more is expected of a server.
const LOST: usize = 5;

/// How long the open calls of a run that ends early are waited for: they are paid.
const LAST: Duration = Duration::from_secs(1);

/// A run of calls.
pub struct Run<'a> {
    server: &'a mut Server,
    calls: &'a [Call],
    /// The first call that was not asked yet.
    fresh: usize,
    /// Attempts to repeat, by the time from which they may be.
    waiting: BTreeMap<(Instant, usize), Attempt>,
    /// Nobody is asked before.
    pause: Option<Instant>,
    concurrency: Concurrency,
    /// Calls that a thread waits for.
    open: usize,
    /// Calls in a row that ended without a reply.
    lost: usize,
    sender: Sender<Finished>,
    finished: Receiver<Finished>,
}

/// A call and how often it was asked.
struct Attempt {
    call: usize,
    /// Counted from 1.
    number: u32,
    delays: Delays,
    has_schema: bool,
}

/// An attempt and its end.
struct Finished {
    attempt: Attempt,
    epoch: Epoch,
    time: Duration,
    result: Result<Response, Failure>,
}

impl<'a> Run<'a> {
    /// A run of which nothing was asked yet.
    pub fn new(server: &'a mut Server, calls: &'a [Call]) -> Self {
        let (sender, finished) = channel();
        Self {
            concurrency: Concurrency::new(server.options.concurrency),
            server,
            calls,
            fresh: 0,
            waiting: BTreeMap::new(),
            pause: None,
            open: 0,
            lost: 0,
            sender,
            finished,
        }
    }

    /// Asks until every call has its last reply.
    ///
    /// # Errors
    /// What makes it senseless to ask on.
    pub fn finish(
        mut self,
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        loop {
            if stop() {
                self.hand_on_open(received);
                return Ok(());
            }
            self.ask_due()?;
            let Some(finished) = self.wait(stop) else {
                match self.is_over() {
                    true => return Ok(()),
                    false => continue,
                }
            };
            let (reply, next) = self.read(finished);
            if received(reply).is_break() {
                self.hand_on_open(received);
                return Ok(());
            }
            if let Some(reason) = next {
                self.hand_on_open(received);
                return Err(anyhow!(reason));
            }
        }
    }

    fn is_over(&self) -> bool {
        self.open == 0 && self.waiting.is_empty() && self.fresh == self.calls.len()
    }

    /// Whether a call may be asked for the first time. One that waits to be repeated keeps its place:
    /// otherwise all calls would run into a server that is gone.
    fn has_room_for_fresh(&self) -> bool {
        let taken = self.open + self.waiting.len();
        self.fresh < self.calls.len() && taken < self.concurrency.now()
    }

    /// Asks as many calls as may be asked now: first those that are repeated.
    fn ask_due(&mut self) -> Result<()> {
        while self.open < self.concurrency.now()
            && self.pause.is_none_or(|end| end <= Instant::now())
        {
            let attempt = match self.take_due() {
                Some(attempt) => attempt,
                None if self.has_room_for_fresh() => self.first_attempt(),
                None => break,
            };
            self.ask(attempt)?;
        }
        Ok(())
    }

    /// The first of the attempts that may be repeated now.
    fn take_due(&mut self) -> Option<Attempt> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= Instant::now()).then(|| entry.remove())
    }

    fn first_attempt(&mut self) -> Attempt {
        let (call, options) = (self.fresh, &self.server.options);
        self.fresh += 1;
        let seed = seed(&self.calls[call].key);
        let delays = delays(options.first_wait, options.retries, seed);
        Attempt { call, number: 1, delays, has_schema: self.server.sends_schema }
    }

    fn ask(&mut self, mut attempt: Attempt) -> Result<()> {
        attempt.has_schema &= self.server.sends_schema;
        let (model, drawing) = (&self.server.model, self.server.options.drawing);
        let call = &self.calls[attempt.call];
        let question = Question::new(model, call, drawing, attempt.has_schema).to_json();
        let (client, sender) = (self.server.client.clone(), self.sender.clone());
        let epoch = self.concurrency.epoch();
        let wait = move || {
            let begun = Instant::now();
            let result = client.post(&question);
            // Nobody listens any more once the run has ended.
            let _ = sender.send(Finished { attempt, epoch, time: begun.elapsed(), result });
        };
        thread::Builder::new().spawn(wait).context("cannot start a thread")?;
        self.open += 1;
        Ok(())
    }

    /// The next attempt that ends; none if one can be asked before, none is open, or the user stops.
    fn wait(&mut self, stop: &dyn Fn() -> bool) -> Option<Finished> {
        let has_room = self.open < self.concurrency.now();
        let due = match self.waiting.keys().next() {
            _ if self.has_room_for_fresh() => self.pause,
            Some((due, _)) => Some(self.pause.map_or(*due, |pause| pause.max(*due))),
            None => None,
        };
        let due = due.filter(|_| has_room);
        if due.is_none() && self.open == 0 {
            return None;
        }
        let finished = receive(&self.finished, due, stop).ok()?;
        self.open -= 1;
        Some(finished)
    }

    /// The reply of an attempt, and why nobody is to be asked any more, if that is so. An attempt to
    /// be repeated waits from then on.
    fn read(&mut self, finished: Finished) -> (Reply, Option<String>) {
        let Finished { attempt, epoch, time, result } = finished;
        let key = self.calls[attempt.call].key.clone();
        let mut reply = Reply::new(key, Outcome::Http, String::new(), time);
        reply.attempt = attempt.number;
        let (text, next, status) = match result {
            Ok(Response { status, retry_after, body }) => {
                reply.status = Some(status);
                let completion = Completion::read(status, &body);
                let next = after(&completion, retry_after, attempt.has_schema);
                reply.outcome = completion.outcome;
                reply.finish_reason = completion.finish_reason;
                reply.usage = completion.usage;
                (completion.text, next, Some(completion.status))
            }
            Err(Failure { outcome, text, may_pass }) => {
                reply.outcome = outcome;
                (text, if may_pass { Next::Again(None) } else { Next::Done }, None)
            }
        };
        let failed = matches!(reply.outcome, Outcome::Http | Outcome::Timeout | Outcome::Cut);
        if is_overload(reply.outcome, status) {
            self.concurrency.overloaded(epoch);
        } else if !(failed && next != Next::Done) {
            self.concurrency.replied();
        }
        if reply.outcome == Outcome::Answered && !attempt.has_schema {
            // It was asked without one because the server refused it.
            self.server.sends_schema = false;
        }
        let said = message(&text);
        if reply.usage.is_none() {
            // What a server says of an error is nothing that a model wrote.
            let written = if reply.outcome == Outcome::Http { "" } else { &text };
            reply.estimate = Some(Usage::estimate(&self.calls[attempt.call], written));
        }
        reply.text = Some(text);
        let stop = self.follow(attempt, next, reply.outcome, &said);
        (reply, stop)
    }

    /// Does what follows an attempt.
    fn follow(
        &mut self,
        mut attempt: Attempt,
        next: Next,
        outcome: Outcome,
        said: &str,
    ) -> Option<String> {
        attempt.number += 1;
        let now = Instant::now();
        let due = match next {
            Next::Stop(reason) => return Some(reason),
            Next::Done => None,
            Next::WithoutSchema => {
                attempt.has_schema = false;
                Some(now)
            }
            Next::Again(asked) => {
                // The server means all who ask.
                let pause = asked.map(|wait| now + wait);
                self.pause = self.pause.max(pause);
                let delay = attempt.delays.next();
                delay.map(|delay| pause.unwrap_or(now + delay))
            }
        };
        if let Some(due) = due {
            self.waiting.insert((due, attempt.call), attempt);
            return None;
        }
        let is_lost = matches!(outcome, Outcome::Http | Outcome::Timeout);
        self.lost = if is_lost { self.lost + 1 } else { 0 };
        (self.lost == LOST).then(|| {
            format!(
                "{LOST} calls in a row ended without a reply, the last with: {said}\nhint: what was \
                 received is kept, and the same command goes on when the server is there again"
            )
        })
    }

    /// Hands on what the open calls still bring.
    fn hand_on_open(&mut self, received: &mut dyn FnMut(Reply) -> ControlFlow<()>) {
        let end = Instant::now() + LAST;
        while self.open > 0 {
            let wait = end.saturating_duration_since(Instant::now());
            let Ok(finished) = self.finished.recv_timeout(wait) else { return };
            self.open -= 1;
            let (reply, _) = self.read(finished);
            // It is saved, whatever else is wanted.
            let _ = received(reply);
        }
    }
}
