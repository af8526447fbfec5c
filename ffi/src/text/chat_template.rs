//! Chat templates: the Jinja text in a GGUF, or one in a file.

use std::path::{Path, PathBuf};

use cutq_core::example::{Example, Message};
use cutq_core::template::{Piece, Template};
use minijinja::{Environment, Error, ErrorKind, context};

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
    /// The template changes the text of messages, so that it cannot be told from markup.
    #[error("the chat template of {origin} rewrites the text of messages")]
    Rewrites {
        /// Where it comes from.
        origin: String,
    },
}

/// A Jinja chat template.
///
/// It is rendered with `messages`, `add_generation_prompt`, `bos_token` and `eos_token`, as
/// everywhere, and with `judgment` (undefined in the plain context). A template that does not
/// mention `judgment` gets it at the end of the last user message.
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
    /// The template inside a GGUF, if it has one.
    pub fn from_gguf(gguf: &Gguf) -> Option<Result<Self, TemplateError>> {
        let source = gguf.str("tokenizer.chat_template")?;
        Some(Self::new(source, gguf.path().display().to_string(), gguf))
    }

    /// The template in a file.
    ///
    /// # Errors
    /// If the file cannot be read or is not a Jinja template.
    pub fn from_file(path: &Path, gguf: &Gguf) -> Result<Self, TemplateError> {
        let source = std::fs::read_to_string(path)
            .map_err(|source| TemplateError::Io { path: path.to_owned(), source })?;
        Self::new(&source, path.display().to_string(), gguf)
    }

    fn new(source: &str, origin: String, gguf: &Gguf) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| {
            Err::<String, _>(Error::new(ErrorKind::InvalidOperation, message))
        });
        if let Err(source) = environment.add_template_owned(NAME, source.to_owned()) {
            return Err(TemplateError::Render { origin, source });
        }
        let mut template = Self {
            environment,
            origin,
            bos_token: special_text(gguf, "tokenizer.ggml.bos_token_id"),
            eos_token: special_text(gguf, "tokenizer.ggml.eos_token_id"),
            takes_judgment: false,
        };
        template.takes_judgment = template.mentions_judgment()?;
        Ok(template)
    }

    fn mentions_judgment(&self) -> Result<bool, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(|e| self.render_error(e))?;
        Ok(template.undeclared_variables(false).contains("judgment"))
    }

    fn render(
        &self,
        messages: &[Message],
        judgment: Option<&str>,
    ) -> Result<String, TemplateError> {
        let messages: Vec<_> =
            messages.iter().map(|m| context! { role => m.role, content => m.content }).collect();
        let base = context! {
            messages,
            add_generation_prompt => true,
            bos_token => self.bos_token,
            eos_token => self.eos_token,
        };
        let template = self.environment.get_template(NAME).map_err(|e| self.render_error(e))?;
        let rendered = match judgment {
            Some(judgment) => template.render(context! { judgment, ..base }),
            None => template.render(base),
        };
        rendered.map_err(|e| self.render_error(e))
    }

    fn render_error(&self, source: Error) -> TemplateError {
        TemplateError::Render { origin: self.origin.clone(), source }
    }
}

impl Template for ChatTemplate {
    type Error = TemplateError;

    /// Renders the template once with marks in place of the example's texts, which shows what is
    /// markup, and once with the texts themselves, which shows whether it changes them.
    fn prompt(
        &self,
        example: &Example,
        judgment: Option<&str>,
    ) -> Result<Vec<Piece>, TemplateError> {
        let mut messages = example.messages.clone();
        if let Some(judgment) = judgment
            && !self.takes_judgment
            && let Some(last) = messages.iter_mut().rev().find(|m| m.role == "user")
        {
            last.content.push_str(JUDGMENT_LEAD);
            last.content.push_str(judgment);
        }
        let judgment = judgment.filter(|_| self.takes_judgment);
        let expected = self.render(&messages, judgment)?;
        let texts: Vec<&str> =
            messages.iter().map(|m| m.content.as_str()).chain(judgment).collect();
        let marks: Vec<String> = (0..texts.len()).map(mark).collect();
        let marked: Vec<Message> = messages
            .iter()
            .zip(&marks)
            .map(|(m, mark)| Message::new(&m.role, mark.clone()))
            .collect();
        let marked = self.render(&marked, judgment.and(marks.last()).map(String::as_str))?;
        let trimmed: Vec<&str> = texts.iter().map(|t| t.trim()).collect();
        [texts, trimmed]
            .iter()
            .map(|texts| split(&marked, &marks, texts))
            .find(|pieces| pieces.iter().map(Piece::text).collect::<String>() == expected)
            .ok_or_else(|| TemplateError::Rewrites { origin: self.origin.clone() })
    }
}

/// A private-use character that no text has any use for, around a number.
fn mark(index: usize) -> String {
    format!("\u{f8f0}{index}\u{f8f0}")
}

/// `marked`, with each mark replaced by its text.
fn split(marked: &str, marks: &[String], texts: &[&str]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = marked;
    let next = |rest: &str| {
        let found = marks.iter().enumerate().filter_map(|(i, m)| Some((rest.find(m.as_str())?, i)));
        found.min()
    };
    while let Some((at, i)) = next(rest) {
        pieces.push(Piece::Template(rest[..at].to_owned()));
        pieces.push(Piece::Data(texts[i].to_owned()));
        rest = &rest[at + marks[i].len()..];
    }
    pieces.push(Piece::Template(rest.to_owned()));
    pieces
}

/// The text of the token whose id is at `key`; empty if there is none.
fn special_text(gguf: &Gguf, key: &str) -> String {
    let id = gguf.int(key).and_then(|id| usize::try_from(id).ok());
    match (id, gguf.value("tokenizer.ggml.tokens")) {
        (Some(id), Some(Value::Strs(tokens))) => tokens.get(id).cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
