//! What a failed command prints, and its exit status.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use cutq_core::trainer::TrainError;
use cutq_ffi::{AdapterError, BackendError, EngineError, LlamaError, NoDevice, TemplateError};

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

/// Whether a value grew without bound: the same run would stop at the same place again.
pub fn is_divergence(error: &anyhow::Error) -> bool {
    let training = |error: &TrainError<EngineError>| {
        matches!(error, TrainError::NonFinite { .. } | TrainError::NonFiniteSum { .. })
    };
    error.chain().any(|cause| {
        cause.downcast_ref().is_some_and(training)
            || matches!(cause.downcast_ref(), Some(AdapterError::NonFinite { .. }))
    })
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
        let hint = hint.or_else(|| hint_for(cause));
        if let Some(hint) = hint.filter(|hint| !hints.contains(hint)) {
            hints.push(hint);
        }
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

/// The hint for an error of a library, which knows none of this program's flags.
fn hint_for(cause: &(dyn Error + 'static)) -> Option<String> {
    // A transparent error hides the one inside it from the chain.
    let engine = cause.downcast_ref::<EngineError>();
    let backend = match engine {
        Some(EngineError::Backend(error)) => Some(error),
        _ => cause.downcast_ref::<BackendError>(),
    };
    let hint = if let Some(BackendError::OutOfMemory { .. }) = backend {
        "lower --micro-batch or --max-length"
    } else if let Some(BackendError::Unsupported { .. }) = backend {
        "--device cpu computes every model"
    } else if let Some(EngineError::SampleMemory { .. }) = engine {
        "give more with --memory, or ask for shorter answers with --n-predict"
    } else if let Some(EngineError::Token { .. }) = engine {
        "the tokenizer belongs to another model"
    } else if let Some(NoDevice::Unknown { .. }) = cause.downcast_ref() {
        "`cutq devices` says why others are missing"
    } else if let Some(
        TemplateError::Rewrites { .. }
        | TemplateError::Refuses { .. }
        | TemplateError::NoMessages { .. }
        | TemplateError::LosesJudgment { .. },
    ) = cause.downcast_ref()
    {
        "--template paper takes any text"
    } else if let Some(AdapterError::NonFinite { .. }) = cause.downcast_ref() {
        "lower --lr, or --max-grad-norm limits each step"
    } else if let Some(LlamaError::NoTokenizer { .. }) = cause.downcast_ref() {
        "give one with --tokenizer tokenizer.json"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn errors_of_libraries_get_one_hint_wherever_they_are_in_the_chain() {
        let device = || "Vulkan0".to_owned();
        let memory =
            || EngineError::Backend(BackendError::OutOfMemory { device: device(), bytes: 1 });
        let operation =
            BackendError::Unsupported { device: device(), operation: "ROLL".to_owned() };
        let known = "CPU".to_owned();
        let cases = [
            (anyhow!(memory()), "--micro-batch"),
            (anyhow!(TrainError::Model(memory())), "--micro-batch"),
            (anyhow!(operation).context("the run stopped"), "--device cpu"),
            (anyhow!(EngineError::Token { token: 9, n_vocab: 9 }), "another model"),
            (anyhow!(NoDevice::Unknown { name: device(), known }), "`cutq devices`"),
            (anyhow!(TemplateError::LosesJudgment { origin: "m".to_owned() }), "--template paper"),
            (anyhow!(LlamaError::NoTokenizer { path: "m".into() }), "--tokenizer"),
        ];
        for (error, expected) in cases {
            let text = text(&error);
            assert_eq!(text.matches("hint: ").count(), 1, "{text}");
            assert!(
                text.split("hint: ").last().is_some_and(|hint| hint.contains(expected)),
                "{text}"
            );
        }
    }

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
