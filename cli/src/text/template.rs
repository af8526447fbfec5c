//! The template that puts an example before the model, chosen at run time.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use cutq_core::example::Example;
use cutq_core::template::{PaperTemplate, Piece, Template};
use cutq_ffi::{ChatTemplate, Gguf, Now, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::console::Console;

/// Which template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateName {
    /// The paper's.
    Paper,
    /// The one in the model's file.
    Chat,
    /// A Jinja file.
    File(PathBuf),
}

impl TemplateName {
    /// The one to take where none is asked for: the model's own if it has one, or else the paper's.
    pub fn of(gguf: &Gguf) -> Self {
        match gguf.str("tokenizer.chat_template") {
            Some(_) => Self::Chat,
            None => Self::Paper,
        }
    }
}

impl FromStr for TemplateName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "paper" => Self::Paper,
            "chat" => Self::Chat,
            file => Self::File(file.into()),
        })
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paper => f.write_str("paper"),
            Self::Chat => f.write_str("chat"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A template that is ready to render.
pub enum AnyTemplate {
    /// The paper's.
    Paper(PaperTemplate),
    /// A chat template in Jinja.
    Chat(Box<ChatTemplate>),
}

impl AnyTemplate {
    /// The template of this name, for prompts that `tokenizer` encodes; `now` is what it is told as
    /// the time.
    pub(super) fn open(
        name: &TemplateName,
        gguf: &Gguf,
        tokenizer: &Tokenizer,
        now: Now,
    ) -> Result<Self> {
        let model = gguf.path().display();
        let template = match name {
            TemplateName::Paper => return Ok(Self::Paper(PaperTemplate)),
            TemplateName::Chat => match ChatTemplate::from_gguf(gguf, tokenizer, now) {
                Some(template) => template
                    .with_context(|| format!("the chat template of {model} cannot be used"))?,
                None => bail!("{model} has no chat template\nhint: --template paper"),
            },
            TemplateName::File(path) => ChatTemplate::from_file(path, gguf, tokenizer, now)
                .with_context(|| format!("the template {} cannot be used", path.display()))?,
        };
        Ok(Self::Chat(Box::new(template)))
    }

    /// Whether a response ends as a turn of a chat does, rather than with the end of the text.
    pub fn is_chat(&self) -> bool {
        matches!(self, Self::Chat(_))
    }

    /// What prompts end in if that begins a thought, as [`ChatTemplate::opens_thought`] has it.
    pub fn opens_thought(&self) -> Option<&str> {
        match self {
            Self::Paper(_) => None,
            Self::Chat(template) => template.opens_thought(),
        }
    }

    /// Says so if the template leaves out earlier turns.
    pub fn warn_of_lost_turns(&self, console: Console) {
        if let Self::Chat(template) = self
            && !template.keeps_history()
        {
            console.warn("the chat template writes the last message only: earlier turns are lost");
        }
    }
}

impl Template for AnyTemplate {
    type Error = <ChatTemplate as Template>::Error;

    fn prompt(&self, example: &Example, judgment: Option<&str>) -> Result<Vec<Piece>, Self::Error> {
        match self {
            Self::Paper(template) => {
                Ok(template.prompt(example, judgment).unwrap_or_else(|never| match never {}))
            }
            Self::Chat(template) => template.prompt(example, judgment),
        }
    }
}
