//! Chat templates: the Jinja text in a GGUF, or one in a file.

mod align;
mod conversation;
mod engine;
mod now;
mod source;

use std::error::Error as _;
use std::path::{Path, PathBuf};

use cutq_core::example::{Example, Message};
use cutq_core::template::{Piece, Template};
use minijinja::{Environment, Error, context};

use self::conversation::Conversation;
use self::engine::Raised;
pub use self::now::{NotATime, Now};
use crate::gguf::file::Gguf;
use crate::gguf::value::Value;

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
        source: Error,
    },
    /// The template does not take this conversation.
    #[error("the chat template of {origin} refuses this conversation: {reason}")]
    Refuses {
        /// Where it comes from.
        origin: String,
        /// What the template says.
        reason: String,
    },
    /// The template prints nothing of a conversation.
    #[error("the chat template of {origin} prints no message")]
    Silent {
        /// Where it comes from.
        origin: String,
    },
    /// The template leaves out the judgment.
    #[error("the chat template of {origin} does not print the judgment of this example")]
    LosesJudgment {
        /// Where it comes from.
        origin: String,
    },
    /// The template changes the text of messages, so that it cannot be told from markup.
    #[error("the chat template of {origin} rewrites the text of {what}")]
    Rewrites {
        /// Where it comes from.
        origin: String,
        /// Which text.
        what: String,
    },
}

/// A Jinja chat template.
///
/// It is rendered with `messages`, `tools` (none without any), `add_generation_prompt`, `bos_token` and
/// `eos_token`, as in transformers, and with `judgment` (undefined in the plain context). A template
/// that does not mention `judgment` gets it at the end of the last user message, or of the last
/// message if no user speaks.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    origin: String,
    bos_token: String,
    eos_token: String,
    takes_judgment: bool,
}

/// Stands before a judgment at the end of the user's message.
const JUDGMENT_LEAD: &str = "\n\nThe response should match this judgment of it:\n";

const NAME: &str = "chat";

impl ChatTemplate {
    /// The template inside a GGUF, if it has one; `now` is what it is told as the time.
    pub fn from_gguf(gguf: &Gguf, now: Now) -> Option<Result<Self, TemplateError>> {
        let source = gguf.str("tokenizer.chat_template")?;
        Some(Self::new(source, gguf.path().display().to_string(), gguf, now))
    }

    /// The template in a file.
    ///
    /// # Errors
    /// If the file cannot be read, is not a Jinja template, or prints nothing of a conversation.
    pub fn from_file(path: &Path, gguf: &Gguf, now: Now) -> Result<Self, TemplateError> {
        let source = std::fs::read_to_string(path)
            .map_err(|source| TemplateError::Io { path: path.to_owned(), source })?;
        Self::new(&source, path.display().to_string(), gguf, now)
    }

    fn new(source: &str, origin: String, gguf: &Gguf, now: Now) -> Result<Self, TemplateError> {
        let bos_token = special_text(gguf, "tokenizer.ggml.bos_token_id");
        let eos_token = special_text(gguf, "tokenizer.ggml.eos_token_id");
        Self::of_source(source, origin, [bos_token, eos_token], now)
    }

    fn of_source(
        source: &str,
        origin: String,
        [bos_token, eos_token]: [String; 2],
        now: Now,
    ) -> Result<Self, TemplateError> {
        let mut environment = engine::environment(now);
        if let Err(source) = environment.add_template_owned(NAME, source::normalized(source)) {
            return Err(TemplateError::Render { origin, source });
        }
        let mut template =
            Self { environment, origin, bos_token, eos_token, takes_judgment: false };
        template.takes_judgment = template.mentions_judgment()?;
        template.probe()?;
        Ok(template)
    }

    /// Refuses a template that prints nothing of what a user asks.
    fn probe(&self) -> Result<(), TemplateError> {
        let ask = Example::from_messages(vec![Message::new("user", "question")], "", None);
        match self.aligned(&ask, None, false) {
            // What the conversation lacks is said for a real one.
            Err(TemplateError::Render { .. } | TemplateError::Refuses { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok((_, printed)) if printed.is_empty() => {
                Err(TemplateError::Silent { origin: self.origin.clone() })
            }
            Ok(_) => Ok(()),
        }
    }

    fn mentions_judgment(&self) -> Result<bool, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(|e| self.render_error(e))?;
        Ok(template.undeclared_variables(false).contains("judgment"))
    }

    fn render(
        &self,
        messages: &serde_json::Value,
        tools: Option<&serde_json::Value>,
        judgment: Option<&str>,
    ) -> Result<String, TemplateError> {
        // As in transformers, `tools` is always there.
        let base = context! {
            messages,
            tools,
            add_generation_prompt => true,
            bos_token => self.bos_token,
            eos_token => self.eos_token,
        };
        let template = self.environment.get_template(NAME).map_err(|e| self.render_error(e))?;
        let printed = match judgment {
            Some(judgment) => template.render(context! { judgment, ..base }),
            None => template.render(base),
        };
        printed.map_err(|e| self.render_error(e))
    }

    fn render_error(&self, source: Error) -> TemplateError {
        let origin = self.origin.clone();
        let raised = source.source().and_then(|cause| cause.downcast_ref());
        match raised {
            Some(Raised(reason)) => TemplateError::Refuses { origin, reason: reason.clone() },
            None => TemplateError::Render { origin, source },
        }
    }

    /// The pieces, and the indices of the texts that are among them.
    ///
    /// Renders the template once with marks in place of the example's texts, which shows what is
    /// markup, and once with the texts themselves, which shows how it prints them.
    fn aligned(
        &self,
        example: &Example,
        judgment: Option<&str>,
        calls_as_text: bool,
    ) -> Result<(Vec<Piece>, Vec<usize>), TemplateError> {
        let mut conversation = Conversation::new(example, calls_as_text);
        let messages = conversation.first_text.clone();
        let mark = judgment.map(|text| conversation.add(text));
        let tools = example.tools.as_ref().and_then(|json| serde_json::from_str(json).ok());
        let printed = self.render(&conversation.messages, tools.as_ref(), judgment)?;
        let marked = self.render(&conversation.marked, tools.as_ref(), mark.as_deref())?;
        let texts = &conversation.texts;
        let pieces =
            align::pieces(&printed, &marked, texts).map_err(|index| TemplateError::Rewrites {
                origin: self.origin.clone(),
                what: name_of(index, &messages, texts.len()),
            })?;
        Ok((pieces, align::printed(&marked, texts.len())))
    }
}

/// What a text is, for messages.
fn name_of(index: usize, messages: &[usize], texts: usize) -> String {
    match messages.iter().rposition(|&first| first <= index) {
        Some(message) if index < texts => format!("message {message}"),
        _ => "messages".to_owned(),
    }
}

impl Template for ChatTemplate {
    type Error = TemplateError;

    fn prompt(
        &self,
        example: &Example,
        judgment: Option<&str>,
    ) -> Result<Vec<Piece>, TemplateError> {
        let mut example = example.clone();
        if let Some(judgment) = judgment.filter(|_| !self.takes_judgment) {
            attach(&mut example.messages, judgment);
        }
        let apart = judgment.filter(|_| self.takes_judgment);
        let aligned = match self.aligned(&example, apart, false) {
            Err(TemplateError::Render { .. }) => self.aligned(&example, apart, true),
            aligned => aligned,
        };
        let (pieces, _) = aligned?;
        let is_there = |judgment: &str| {
            pieces.iter().any(|piece| match piece {
                Piece::Data(text) => text.contains(judgment.trim()),
                Piece::Template(_) => false,
            })
        };
        match judgment {
            Some(judgment) if !is_there(judgment) => {
                Err(TemplateError::LosesJudgment { origin: self.origin.clone() })
            }
            _ => Ok(pieces),
        }
    }
}

/// Puts a judgment at the end of the last user message, or of the last message if there is none.
fn attach(messages: &mut Vec<Message>, judgment: &str) {
    let last_user = messages.iter().rposition(|message| message.role == "user");
    match last_user.or(messages.len().checked_sub(1)) {
        Some(index) => {
            messages[index].content.push_str(JUDGMENT_LEAD);
            messages[index].content.push_str(judgment);
        }
        None => {
            messages.push(Message::new("user", format!("{}{judgment}", JUDGMENT_LEAD.trim_start())))
        }
    }
}

/// The text of the token whose id is at `key`; empty if there is none.
fn special_text(gguf: &Gguf, key: &str) -> String {
    let id = gguf.int(key).and_then(|id| usize::try_from(id).ok());
    match (id, gguf.value("tokenizer.ggml.tokens")) {
        (Some(id), Some(Value::Strs(tokens))) => tokens.get(id).cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod comparison;
