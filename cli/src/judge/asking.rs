//! What any judge does: it is asked, and replies.

use std::ops::ControlFlow;

use anyhow::Result;
use indicatif::ProgressBar;

use super::call::Call;
use super::judging::Calls;
use super::log::{CallLog, LogError};
use super::reply::{Outcome, Reply};
use crate::console::Console;

/// Somebody, or something, that can be asked what is wrong with answers.
pub trait Judge {
    /// What it is called in files: `cmd:./judge.py`, `http://localhost:8080/v1#model`.
    fn name(&self) -> &str;

    /// Asks every call.
    ///
    /// Each reply, also of an attempt that failed and is repeated, goes to `received` before another
    /// one is waited for, in any order. `received` has saved it when it returns; after a `Break`
    /// nobody is asked any more. Who waits for a reply asks `stop` meanwhile, every [`TICK`], and ends
    /// within about a second once it says so.
    ///
    /// [`TICK`]: super::waiting::TICK
    ///
    /// # Errors
    /// What makes it senseless to ask on, such as a wrong key. A single call that fails is a
    /// [`Reply`] with its [`Outcome`].
    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()>;

    /// Whether it is a person, who sees how far they are and may take back what they said.
    fn is_person(&self) -> bool {
        false
    }

    /// Tells a person what they have said before, and of what.
    fn recall(&mut self, _answered: Vec<(Call, Reply)>) {}
}

/// Asks `judge` every call that has no answer in `log`; each reply is there before the next is waited
/// for. `stop` is asked after each, and while it is waited for.
///
/// # Errors
/// What makes it senseless to ask on; a log that cannot be written.
pub fn ask(
    judge: &mut dyn Judge,
    calls: &Calls,
    log: &mut CallLog,
    console: Console,
    stop: &dyn Fn() -> bool,
) -> Result<()> {
    let open = calls.open(log);
    if open.is_empty() {
        return Ok(());
    }
    let bar = match judge.is_person() {
        true => {
            judge.recall(calls.answered(log));
            ProgressBar::hidden()
        }
        false => console.bar("judged", Some(open.len())),
    };
    let mut failed: Option<LogError> = None;
    let mut received = |reply: Reply| {
        // Nothing is written behind a line that may be torn.
        if failed.is_some() {
            return ControlFlow::Break(());
        }
        bar.inc(u64::from(reply.outcome == Outcome::Answered));
        match log.append(reply) {
            Ok(()) if !stop() => ControlFlow::Continue(()),
            Ok(()) => ControlFlow::Break(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let done = judge.ask(&open, &mut received, stop);
    match failed {
        Some(error) => Err(error.into()),
        None => done,
    }
}
