//! Why a chat template cannot be used, or not for an example.

use std::fmt;
use std::path::PathBuf;

use minijinja::ErrorKind;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The template does not parse or render.
    #[error("the chat template of {origin} fails: {source:#}")]
    Render {
        /// Where it comes from.
        origin: String,
        /// What the engine said.
        source: minijinja::Error,
    },
    /// The template calls `raise_exception`: it is sound, but not made for this conversation.
    #[error("the chat template of {origin} refuses this conversation: {reason}")]
    Refuses {
        /// Where it comes from.
        origin: String,
        /// What it says.
        reason: String,
    },
    /// The template writes no message of a conversation.
    #[error("the chat template of {origin} writes none of a conversation's messages")]
    NoMessages {
        /// Where it comes from.
        origin: String,
    },
    /// The judgment is not in the prompt.
    #[error("the chat template of {origin} leaves the judgment out of the prompt")]
    LosesJudgment {
        /// Where it comes from.
        origin: String,
    },
    /// A text holds markup such as `<|im_end|>`, and the template acts on it.
    #[error(
        "the chat template of {origin} takes markup that is typed in message {message} (role \
         {role}) for its own"
    )]
    Rewrites {
        /// Where it comes from.
        origin: String,
        /// The message, from 1.
        message: usize,
        /// Who speaks.
        role: String,
    },
    /// A further field of a message, or the tools, are not JSON.
    #[error("{name} is not JSON: {source}")]
    NotJson {
        /// The field.
        name: String,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// What a template says with `raise_exception`.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// The template's function `raise_exception`.
pub(super) fn raise_exception(reason: String) -> Result<String, minijinja::Error> {
    let error = minijinja::Error::new(ErrorKind::InvalidOperation, "raise_exception");
    Err(error.with_source(Refusal(reason)))
}

impl TemplateError {
    /// What the engine said, told apart by whether the template meant to stop.
    pub(super) fn of_engine(origin: &str, source: minijinja::Error) -> Self {
        let origin = origin.to_owned();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            if let Some(Refusal(reason)) = error.downcast_ref() {
                return Self::Refuses { origin, reason: reason.clone() };
            }
            cause = error.source();
        }
        Self::Render { origin, source }
    }

    /// Whether the fault is the example's: others may go well with this template.
    pub fn is_about_example(&self) -> bool {
        matches!(self, Self::Refuses { .. } | Self::Rewrites { .. } | Self::NotJson { .. })
    }
}
