//! Chat templates: the Jinja text in a GGUF, or one in a file.

#[cfg(test)]
mod comparison;
mod conversation;
mod engine;
mod error;
mod guard;
mod methods;
mod now;
mod probe;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use cutq_core::example::{Example, Message};
use cutq_core::template::{Piece, Template};
use minijinja::Environment;
use minijinja::value::Value;

use self::conversation::{Conversation, Shape};
pub use self::error::TemplateError;
use self::guard::Guard;
pub use self::now::{NotATime, Now};
use self::probe::Probe;
use super::controls::Controls;
use super::tokenizer::Tokenizer;
use crate::gguf::file::Gguf;
use crate::gguf::value::Value as GgufValue;

/// A Jinja chat template.
///
/// It is rendered with `messages` (`role`, `content` and the further fields of each), `tools` (none
/// without any), `add_generation_prompt`, `bos_token` and `eos_token`, as in transformers, and with
/// `judgment` (undefined in the plain context). A template that does not mention `judgment` gets it at
/// the end of the last user message, or of the last message if no user speaks.
///
/// What a prompt's pieces call data is what must not be taken for markup; other text of an example
/// stands among the template's own.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Of the vocabulary that the prompts are for.
    controls: Arc<Controls>,
    origin: String,
    bos_token: String,
    eos_token: String,
    /// Whether it reads the variable `judgment`.
    takes_judgment: bool,
    shape: Shape,
    keeps_history: bool,
    opens_thought: Option<String>,
}

/// Stands before a judgment at the end of the user's message.
const JUDGMENT_LEAD: &str = "\n\nThe response should match this judgment of it:\n";

const NAME: &str = "chat";

/// Where the texts of the vocabulary's special tokens come from.
struct Vocabulary {
    controls: Arc<Controls>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// The template inside a GGUF, if it has one, for prompts that `tokenizer` encodes; `now` is what
    /// it is told as the time.
    pub fn from_gguf(
        gguf: &Gguf,
        tokenizer: &Tokenizer,
        now: Now,
    ) -> Option<Result<Self, TemplateError>> {
        let source = gguf.str("tokenizer.chat_template")?;
        let origin = gguf.path().display().to_string();
        Some(Self::new(source, origin, Vocabulary::of(gguf, tokenizer), now))
    }

    /// The template in a file.
    ///
    /// # Errors
    /// If the file cannot be read, is not a Jinja template, or writes nothing of a conversation.
    pub fn from_file(
        path: &Path,
        gguf: &Gguf,
        tokenizer: &Tokenizer,
        now: Now,
    ) -> Result<Self, TemplateError> {
        let source = std::fs::read_to_string(path)
            .map_err(|source| TemplateError::Io { path: path.to_owned(), source })?;
        Self::new(&source, path.display().to_string(), Vocabulary::of(gguf, tokenizer), now)
    }

    fn new(
        source: &str,
        origin: String,
        vocabulary: Vocabulary,
        now: Now,
    ) -> Result<Self, TemplateError> {
        let mut environment = engine::environment(now);
        let added = environment.add_template_owned(NAME, source::normalized(source));
        added.map_err(|error| TemplateError::of_engine(&origin, error))?;
        let mut template = Self {
            environment,
            controls: vocabulary.controls,
            origin,
            bos_token: vocabulary.bos_token,
            eos_token: vocabulary.eos_token,
            takes_judgment: false,
            shape: Shape::default(),
            keeps_history: true,
            opens_thought: None,
        };
        template.takes_judgment = template.mentions("judgment")?;
        let probe = Probe::of(&template)?;
        template.shape = probe.shape;
        template.keeps_history = probe.keeps_history;
        template.opens_thought = probe.opens_thought;
        Ok(template)
    }

    /// Whether messages before the last one are in the prompt.
    pub fn keeps_history(&self) -> bool {
        self.keeps_history
    }

    /// What the prompt ends in, if that is `<think>` and perhaps blanks: the response goes on
    /// within a thought.
    pub fn opens_thought(&self) -> Option<&str> {
        self.opens_thought.as_deref()
    }

    fn mentions(&self, variable: &str) -> Result<bool, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(|e| self.engine_error(e))?;
        Ok(template.undeclared_variables(false).contains(variable))
    }

    fn render(&self, conversation: &Conversation, shape: Shape) -> Result<String, TemplateError> {
        let common = [
            ("add_generation_prompt", Value::from(true)),
            ("bos_token", Value::from(self.bos_token.as_str())),
            ("eos_token", Value::from(self.eos_token.as_str())),
        ];
        let variables: Value = common.into_iter().chain(conversation.variables(shape)).collect();
        let template = self.environment.get_template(NAME);
        template.and_then(|t| t.render(variables)).map_err(|e| self.engine_error(e))
    }

    fn engine_error(&self, source: minijinja::Error) -> TemplateError {
        TemplateError::of_engine(&self.origin, source)
    }

    /// The example as the template is to be given it, the judgment where it finds it.
    fn conversation(
        &self,
        example: &Example,
        judgment: Option<&str>,
    ) -> Result<Conversation, TemplateError> {
        let tools = example.tools.as_deref();
        match judgment {
            Some(judgment) if !self.takes_judgment => {
                Conversation::new(&with_judgment(&example.messages, judgment), tools, None)
            }
            judgment => Conversation::new(&example.messages, tools, judgment),
        }
    }

    /// The rendering in pieces; markup that is typed in the example's texts is data.
    fn split(
        &self,
        conversation: &Conversation,
        rendered: String,
    ) -> Result<Vec<Piece>, TemplateError> {
        let guard = Guard::new(&self.controls, &rendered);
        let guarded = conversation.guarded(&guard, None);
        if guarded == *conversation {
            return Ok(vec![Piece::Template(rendered)]);
        }
        match self.render(&guarded, self.shape) {
            Ok(marked) if guard.removed(&marked) == rendered => Ok(guard.pieces(&marked)),
            _ => Err(self.rewrites(conversation, &guard, &rendered)),
        }
    }

    /// Names the message whose markup the template acts on.
    fn rewrites(
        &self,
        conversation: &Conversation,
        guard: &Guard<'_>,
        rendered: &str,
    ) -> TemplateError {
        let is_same = |&index: &usize| {
            let marked = self.render(&conversation.guarded(guard, Some(index)), self.shape);
            marked.is_ok_and(|marked| guard.removed(&marked) == rendered)
        };
        let index = (0..conversation.roles().count()).find(|index| !is_same(index)).unwrap_or(0);
        let role = conversation.roles().nth(index).unwrap_or_default().to_owned();
        TemplateError::Rewrites { origin: self.origin.clone(), message: index + 1, role }
    }
}

impl Template for ChatTemplate {
    type Error = TemplateError;

    /// Renders the template, and once more if markup is typed in the example's texts.
    fn prompt(
        &self,
        example: &Example,
        judgment: Option<&str>,
    ) -> Result<Vec<Piece>, TemplateError> {
        let conversation = self.conversation(example, judgment)?;
        let rendered = self.render(&conversation, self.shape)?;
        if judgment.is_some_and(|judgment| !holds(&rendered, judgment.trim())) {
            return Err(TemplateError::LosesJudgment { origin: self.origin.clone() });
        }
        self.split(&conversation, rendered)
    }
}

/// Whether a text stands in what was rendered, as it is or as JSON.
fn holds(rendered: &str, text: &str) -> bool {
    let json = serde_json::Value::from(text).to_string();
    rendered.contains(text) || rendered.contains(&json[1..json.len() - 1])
}

/// The messages, with the judgment at the end of the last one of a user; of the last one if no
/// user speaks; or by itself.
fn with_judgment(messages: &[Message], judgment: &str) -> Vec<Message> {
    let mut messages = messages.to_vec();
    let last_user = messages.iter().rposition(|message| message.role == "user");
    match last_user.or(messages.len().checked_sub(1)) {
        Some(index) => {
            messages[index].content.push_str(JUDGMENT_LEAD);
            messages[index].content.push_str(judgment);
        }
        None => {
            messages.push(Message::new("user", JUDGMENT_LEAD.trim_start().to_owned() + judgment))
        }
    }
    messages
}

impl Vocabulary {
    fn of(gguf: &Gguf, tokenizer: &Tokenizer) -> Self {
        Self {
            controls: tokenizer.controls(),
            bos_token: special_text(gguf, "tokenizer.ggml.bos_token_id"),
            eos_token: special_text(gguf, "tokenizer.ggml.eos_token_id"),
        }
    }
}

/// The text of the token whose id is at `key`; empty if there is none.
fn special_text(gguf: &Gguf, key: &str) -> String {
    let id = gguf.int(key).and_then(|id| usize::try_from(id).ok());
    match (id, gguf.value("tokenizer.ggml.tokens")) {
        (Some(id), Some(GgufValue::Strs(tokens))) => tokens.get(id).cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
