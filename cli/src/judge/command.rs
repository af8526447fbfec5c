//! The judge that is a program of the user's: a line of JSON in, a line of JSON out, in order.
//!
//! ```text
//! in   {"instruction": "…", "input": "", "response": "…"}
//! out  {"judgment": "what is wrong" or null, "quotes": [{"text": "…", "start": 3, "end": 9}]}
//! ```
//!
//! It gets all its lines at once, so it may answer each as it comes or all at the end. One that ends
//! early or takes too long fails at the line that it owes, and is started again for the rest.

use std::io::{self, BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::asking::Judge;
use super::call::Call;
use super::quote::Quote;
use super::reply::{Outcome, Reply};
use super::waiting::{Nothing, TICK, receive};
use crate::data::Answer;

/// Ends in a row without a reply before nothing more is expected of a command.
const ENDS: usize = 3;

/// A command that judges.
pub struct CommandJudge {
    name: String,
    command: String,
    /// The longest time to wait for a line.
    timeout: Duration,
}

/// What the command reads of an answer.
#[derive(Serialize)]
struct Question<'a> {
    instruction: String,
    input: &'static str,
    response: &'a str,
}

/// What it writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the form is checked here; a reply is read where all are")]
struct Line {
    /// `null` for a good answer; a line without it says nothing.
    #[serde(deserialize_with = "Option::deserialize")]
    judgment: Option<String>,
    #[serde(default)]
    quotes: Vec<Quote>,
}

impl CommandJudge {
    /// The judge that the shell starts with `command`.
    pub fn new(command: &str, timeout: Duration) -> Self {
        Self { name: format!("cmd:{command}"), command: command.to_owned(), timeout }
    }

    fn start(&self) -> Result<Child> {
        let mut shell = Command::new(if cfg!(windows) { "cmd" } else { "sh" });
        shell.args([if cfg!(windows) { "/C" } else { "-c" }, &self.command]);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.spawn().with_context(|| format!("cannot start the judge {}", self.command))
    }

    /// Asks `calls` of one process; how many of them have a reply then.
    fn run(
        &self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<ControlFlow<(), usize>> {
        let mut process = Process(self.start()?);
        let stdin = process.0.stdin.take().expect("piped");
        let stdout = process.0.stdout.take().expect("piped");
        write_questions(stdin, calls);
        let lines = read_lines(stdout);
        let (mut asked, mut ends) = (Instant::now(), false);
        for (n, call) in calls.iter().enumerate() {
            let line = receive(&lines, Some(asked + self.timeout), &|| ends || stop());
            let (outcome, text) = match line {
                Ok(Ok(line)) => (outcome(&line), line),
                Ok(Err(error)) => (Outcome::Unparsable, error.to_string()),
                Err(Nothing::Late) => {
                    let seconds = self.timeout.as_secs();
                    (Outcome::Timeout, format!("the command wrote nothing for {seconds} s"))
                }
                Err(Nothing::Over) => (Outcome::Cut, process.end()),
                Err(Nothing::Stopped) => return Ok(ControlFlow::Break(())),
            };
            let is_lost = matches!(outcome, Outcome::Timeout | Outcome::Cut);
            if is_lost && (ends || stop()) {
                // At a terminal Ctrl-C ends the command, too.
                return Ok(ControlFlow::Break(()));
            }
            let took = asked.elapsed();
            asked = Instant::now();
            // What it has written already is kept.
            ends |= received(Reply::new(call.key.clone(), outcome, text, took)).is_break();
            if is_lost {
                return Ok(ControlFlow::Continue(n + 1));
            }
        }
        Ok(ControlFlow::Continue(calls.len()))
    }
}

impl Judge for CommandJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let (mut rest, mut ends) = (calls, 0);
        while !rest.is_empty() {
            let ControlFlow::Continue(replied) = self.run(rest, received, stop)? else {
                return Ok(());
            };
            ends = if replied > 1 { 0 } else { ends + 1 };
            rest = &rest[replied..];
            if ends == ENDS && !rest.is_empty() {
                bail!("the judge {} failed {ENDS} times in a row at its first line", self.command);
            }
        }
        Ok(())
    }
}

/// A process that does not outlive its judge.
struct Process(Child);

impl Process {
    /// How it ended; it may have closed its output and work on.
    fn end(&mut self) -> String {
        let until = Instant::now() + TICK * 5;
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return format!("the command ended ({status})"),
                Ok(None) if Instant::now() < until => thread::sleep(TICK / 10),
                Ok(None) => return "the command has closed its output".to_owned(),
                Err(error) => return format!("the command ended ({error})"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a line is what a judge may say.
fn outcome(line: &str) -> Outcome {
    match serde_json::from_str::<Line>(line) {
        Ok(_) => Outcome::Answered,
        Err(_) if line.trim().is_empty() => Outcome::Empty,
        Err(_) => Outcome::Unparsable,
    }
}

/// Writes every question, from a thread of its own: the command may answer before it has read all.
fn write_questions(mut stdin: ChildStdin, calls: &[Call]) {
    let question = |answer: &Answer| {
        let response = &answer.response;
        let question = Question { instruction: answer.instruction(), input: "", response };
        serde_json::to_string(&question).expect("texts are JSON")
    };
    let lines: Vec<String> = calls.iter().map(|call| question(&call.answer)).collect();
    thread::spawn(move || {
        // A command that reads no further says so by what it writes.
        let _ = lines.iter().try_for_each(|line| writeln!(stdin, "{line}"));
    });
}

/// The lines that the command writes, as they come.
fn read_lines(stdout: ChildStdout) -> Receiver<io::Result<String>> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(stdout).lines();
        // Nobody listens any more once the judge is dropped.
        let _ = lines.into_iter().try_for_each(|line| sender.send(line));
    });
    lines
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::Arc;

    use cutq_core::example::Message;

    use crate::judge::call::Key;

    /// What becomes of answers `0`, `1`, … under a command.
    fn outcomes(command: &str, n: usize) -> Result<Vec<Outcome>> {
        outcomes_until(command, n, &|| false)
    }

    fn outcomes_until(command: &str, n: usize, stop: &dyn Fn() -> bool) -> Result<Vec<Outcome>> {
        let call = |i: usize| Call {
            key: Key::new([i.to_string().as_str()]),
            answer: Arc::new(Answer {
                id: i.to_string(),
                messages: vec![Message::new("user", "Count.")],
                response: i.to_string(),
                fields: serde_json::Map::new(),
            }),
            messages: Vec::new(),
        };
        let calls: Vec<Call> = (0..n).map(call).collect();
        let mut found = Vec::new();
        let mut received = |reply: Reply| {
            assert_eq!(reply.key, calls[found.len()].key);
            found.push(reply.outcome);
            if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        CommandJudge::new(command, Duration::from_millis(500)).ask(&calls, &mut received, stop)?;
        Ok(found)
    }

    #[test]
    fn a_line_is_answered_by_a_line_or_all_by_all() {
        use Outcome::Answered;
        let each = r#"while read -r line; do echo '{"judgment": null}'; done"#;
        assert_eq!(outcomes(each, 3).expect("runs"), [Answered; 3]);
        let all = r#"cat >/dev/null; for i in 1 2 3; do echo '{"judgment": "Wrong."}'; done"#;
        assert_eq!(outcomes(all, 3).expect("runs"), [Answered; 3]);
    }

    #[test]
    fn what_is_no_judgment_is_a_failed_call() {
        use Outcome::{Answered, Cut, Empty, Timeout, Unparsable};
        let odd =
            r#"echo 'fine'; echo; echo '{}'; echo '{"judgment": 3}'; echo '{"judgment": ""}'"#;
        let found = outcomes(odd, 5).expect("runs");
        assert_eq!(found, [Unparsable, Empty, Unparsable, Unparsable, Answered]);
        let two = r#"echo '{"judgment": null}'; echo '{"judgment": null}'; exit 3"#;
        assert_eq!(outcomes(two, 4).expect("runs"), [Answered, Answered, Cut, Answered]);
        let slow = r#"echo '{"judgment": null}'; exec sleep 5"#;
        assert_eq!(outcomes(slow, 2).expect("runs"), [Answered, Timeout]);
    }

    #[test]
    fn a_command_that_never_answers_is_given_up() {
        let error = outcomes("exit 1", 9).expect_err("no reply at all").to_string();
        assert!(error.contains("failed 3 times in a row"), "{error}");
        assert_eq!(outcomes("exit 1", 1).expect("one call"), [Outcome::Cut]);
        let closes = "exec >&-; exec sleep 60";
        assert_eq!(outcomes(closes, 1).expect("is not waited for"), [Outcome::Cut]);
    }

    #[test]
    fn a_command_that_hangs_is_left_with_what_it_has_written() {
        let hangs = r#"echo '{"judgment": null}'; echo '{"judgment": null}'; exec sleep 60"#;
        let begun = Instant::now();
        let stop = || begun.elapsed() > TICK;
        assert_eq!(outcomes_until(hangs, 3, &stop).expect("runs"), [Outcome::Answered; 2]);
        assert!(begun.elapsed() < TICK * 5, "{:?}", begun.elapsed());
        // One that Ctrl-C ends with the program has not failed.
        let found = outcomes_until("exit 130", 3, &|| true).expect("runs");
        assert_eq!(found, []);
    }
}
