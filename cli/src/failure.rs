//! What a failed command prints, and its exit status.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use crate::console;
use crate::usage::UsageError;

/// Prints `error: …`, its causes and its hints, and chooses the exit status: 2 for wrong usage,
/// 0 for output that nobody reads any more, else 1.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    console::print(text(error));
    let usage = error.chain().any(|cause| cause.is::<UsageError>());
    ExitCode::from(if usage { 2 } else { 1 })
}

/// `cutq inspect … | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    })
}

fn text(error: &anyhow::Error) -> String {
    let mut lines = Vec::new();
    let mut hints = Vec::new();
    let mut said = String::new();
    for cause in error.chain() {
        let message = cause.to_string();
        let (message, hint) = match message.split_once("\nhint: ") {
            Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
            None => (message, None),
        };
        hints.extend(hint);
        // Many errors repeat their cause in their own words.
        if said.contains(&message) {
            continue;
        }
        let label = if lines.is_empty() { "error" } else { "  because" };
        lines.push(format!("{label}: {message}"));
        said.push_str(&message);
    }
    lines.extend(hints.into_iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn causes_and_hints_each_have_their_line() {
        let error = Err::<(), _>(anyhow!("disk full\nhint: free some space"))
            .context("cannot write a.gguf: disk full")
            .context("the run stopped")
            .expect_err("an error");
        assert_eq!(
            text(&error),
            "error: the run stopped\n  because: cannot write a.gguf: disk full\nhint: free some space"
        );
    }
}
