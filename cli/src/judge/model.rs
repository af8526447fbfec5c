//! The judge that is a language model in this process, with an adapter of its own or without one.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cutq_core::example::{Example, Message};
use cutq_core::template::Template;
use cutq_ffi::{Device, Generator, GeneratorOptions, Gguf, Now, Sampling};

use super::asking::Judge;
use super::call::Call;
use super::reply::{Outcome, Reply, Usage};
use crate::data::Encode;
use crate::run::InputFile;
use crate::text::{self, AnyTemplate, Encoder};

/// Tokens of a judgment at most.
pub(super) const MAX_TOKENS: usize = 512;

/// The object that [`Prompt`](super::Prompt) asks for, as llama.cpp's grammar, and so short that it
/// ends within [`MAX_TOKENS`].
const GRAMMAR: &str = r#"
root  ::= "{\"judgment\": \"" char{1,500} "\", \"faults\": [" (fault (", " fault){0,3})? "]}"
fault ::= "{\"quote\": \"" char{1,120} "\", \"what\": \"" char{1,120} "\"}"
char  ::= [^"\\\x00-\x1F] | "\\" ["\\/nt]
"#;

/// A model that judges.
pub struct ModelJudge {
    name: String,
    model: PathBuf,
    adapter: Option<PathBuf>,
    device: Device,
    n_threads: usize,
    /// Tokens that question and judgment may have together.
    max_context: usize,
    template: AnyTemplate,
    encoder: Encoder,
    /// Whether replies can be nothing but the object that is asked for.
    is_constrained: bool,
}

impl ModelJudge {
    /// The judge in these files, on `device`. Replies have the form that is asked for if
    /// `is_constrained`, which a question of the user's own may not ask for.
    ///
    /// # Errors
    /// Files that cannot be used.
    pub fn open(
        model: &Path,
        adapter: Option<&Path>,
        (device, n_threads): (Device, usize),
        is_constrained: bool,
    ) -> Result<Self> {
        let gguf = Gguf::open(model).context("cannot open the judge")?;
        let (template, encoder) = text::open(&gguf, None, None, Now::local())?;
        Ok(Self {
            name: name(model, adapter)?,
            model: model.to_owned(),
            adapter: adapter.map(Path::to_owned),
            device,
            n_threads,
            max_context: gguf.context_length().unwrap_or(usize::MAX),
            template,
            encoder,
            is_constrained,
        })
    }

    /// The tokens of a question. Some templates know no system message: there it begins the user's.
    fn encode(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let prompt = |messages: Vec<Message>| {
            self.template.prompt(&Example::from_messages(messages, "", None), None)
        };
        let pieces = prompt(messages.to_vec()).or_else(|_| {
            let texts: Vec<&str> = messages.iter().map(|message| &*message.content).collect();
            prompt(vec![Message::new("user", texts.join("\n\n"))])
        });
        let pieces = pieces.context("the judge's template cannot render the question")?;
        self.encoder.prompt(&pieces).context("the judge's tokenizer cannot encode the question")
    }

    fn generator(&self, n_ctx: usize) -> Result<Generator> {
        let (device, n_threads) = (self.device, self.n_threads);
        let options = GeneratorOptions { device, n_ctx, n_threads, exact_attention: false };
        let mut generator = Generator::open(&self.model, self.adapter.as_deref(), options)
            .context("cannot start the judge")?;
        if self.is_constrained {
            generator.constrain(GRAMMAR)?;
        }
        Ok(generator)
    }
}

/// The files, and the beginning of their hash: another model of the same name is another judge.
pub(super) fn name(model: &Path, adapter: Option<&Path>) -> Result<String> {
    let digits = |input: InputFile| input.sha256[..8].to_owned();
    let named = |path: &Path, digits: String| format!("{}@{digits}", path.display());
    let model = named(model, digits(InputFile::head(model)?));
    Ok(match adapter {
        Some(path) => format!("{model}+{}", named(path, digits(InputFile::whole(path)?))),
        None => model,
    })
}

impl Judge for ModelJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let prompts = calls.iter().map(|call| self.encode(&call.messages));
        let prompts = prompts.collect::<Result<Vec<_>>>()?;
        let Some(longest) = prompts.iter().map(Vec::len).max() else {
            return Ok(());
        };
        let n_ctx = self.max_context.min(longest + MAX_TOKENS);
        let mut generator = self.generator(n_ctx)?;
        for (call, prompt) in calls.iter().zip(&prompts) {
            let reply = match prompt.len() < n_ctx {
                true => judge(&mut generator, call, prompt, stop)?,
                false => {
                    let reason = format!("{} tokens, the judge reads {n_ctx}", prompt.len());
                    Some(Reply::new(call.key.clone(), Outcome::Context, reason, Duration::ZERO))
                }
            };
            if reply.is_none_or(|reply| received(reply).is_break()) {
                break;
            }
        }
        Ok(())
    }
}

/// The judge's likeliest reply; none if the user stops before its end.
fn judge(
    generator: &mut Generator,
    call: &Call,
    prompt: &[u32],
    stop: &dyn Fn() -> bool,
) -> Result<Option<Reply>> {
    let sampling = Sampling {
        n_predict: MAX_TOKENS,
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        seed: 0,
        ignore_eos: false,
    };
    let (begun, mut pieces, mut is_stopped) = (Instant::now(), 0, false);
    let text = generator.generate(prompt, &sampling, &mut |_| {
        pieces += 1;
        is_stopped = stop();
        if is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if is_stopped {
        return Ok(None);
    }
    let took = begun.elapsed();
    // Once per token, and once at the end.
    let n_tokens: usize = pieces - 1;
    let is_cut = n_tokens == generator.room(prompt.len()).min(MAX_TOKENS);
    let (outcome, finish_reason) = match () {
        () if is_cut => (Outcome::Cut, "length"),
        () if text.trim().is_empty() => (Outcome::Empty, "stop"),
        () => (Outcome::Answered, "stop"),
    };
    let usage = Usage { prompt_tokens: prompt.len() as u64, completion_tokens: n_tokens as u64 };
    Ok(Some(Reply {
        finish_reason: Some(finish_reason.to_owned()),
        usage: Some(usage),
        ..Reply::new(call.key.clone(), outcome, text, took)
    }))
}
