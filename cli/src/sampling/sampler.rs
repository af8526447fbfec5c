//! The model that answers.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cutq_core::example::Example;
use cutq_core::template::{Piece, Template};
use cutq_ffi::{Device, Engine, Sample, SampleEnd, SampleRequest};

use super::memory;
use super::settings::Sampling;
use crate::data::Encode;
use crate::flags::PrecisionName;
use crate::session::model::ModelFile;
use crate::text::{AnyTemplate, Encoder};

/// An answer as it was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// Its tokens, without the one that ends it.
    pub tokens: usize,
    /// Whether it was cut at the most that it could have.
    pub truncated: bool,
    /// Log-probability of the tokens of its last word, in nats.
    pub last_word: f64,
}

/// How a sampler computes.
#[derive(Clone, Copy, Debug)]
pub struct SamplerOptions {
    /// Threads of the CPU.
    pub n_threads: usize,
    /// Arithmetic of the products with the model's weights.
    pub precision: PrecisionName,
    /// Tokens of an answer at most.
    pub n_predict: usize,
    /// Answers at a time; none for the usual number.
    pub n_parallel: Option<usize>,
    /// The budget in bytes.
    pub memory: Option<u64>,
}

/// A model with its template and tokenizer.
pub struct Sampler {
    engine: Engine,
    template: AnyTemplate,
    encoder: Encoder,
    /// The tokens that end an answer.
    ends: Vec<u32>,
    options: SamplerOptions,
}

impl Sampler {
    /// The model with the adapter in a file, if there is one.
    ///
    /// # Errors
    /// An adapter that does not belong to the model.
    pub fn open(
        model: &ModelFile,
        adapter: Option<&Path>,
        (template, encoder): (AnyTemplate, Encoder),
        options: SamplerOptions,
    ) -> Result<Self> {
        let adapter = model.adapter_or_none(adapter)?;
        let SamplerOptions { n_threads, precision, .. } = options;
        let engine = model.engine(adapter, Device::cpu(), n_threads, precision)?;
        let ends = encoder.ends(model.architecture.n_vocab);
        Ok(Self { engine, template, encoder, ends, options })
    }

    /// The text of a prompt, and its tokens.
    ///
    /// # Errors
    /// A prompt that the template or the tokenizer refuses, or that fills the context.
    pub(super) fn render(&self, example: &Example) -> Result<(String, Vec<u32>)> {
        let (pieces, tokens) = self.pieces(example)?;
        let (n, n_ctx) = (tokens.len(), self.n_ctx());
        if n >= n_ctx {
            bail!("its {n} tokens leave no room for an answer in a context of {n_ctx}");
        }
        Ok((pieces.iter().map(Piece::text).collect(), tokens))
    }

    /// The tokens of a prompt, of any length.
    ///
    /// # Errors
    /// A prompt that the template or the tokenizer refuses.
    pub fn encode(&self, example: &Example) -> Result<Vec<u32>> {
        Ok(self.pieces(example)?.1)
    }

    fn pieces(&self, example: &Example) -> Result<(Vec<Piece>, Vec<u32>)> {
        let pieces =
            self.template.prompt(example, None).context("the template cannot render the prompt")?;
        let tokens =
            self.encoder.prompt(&pieces).context("the tokenizer cannot encode the prompt")?;
        Ok((pieces, tokens))
    }

    /// Tokens that a prompt and its answer may have together.
    pub fn n_ctx(&self) -> usize {
        self.engine.architecture().context_length
    }

    /// Answers prompts of these tokens and seeds; `done` gets each with its index as it is finished, in
    /// any order. `stop` is asked before every token, and gives up what is not finished.
    ///
    /// # Errors
    /// A model that cannot be computed; what `done` fails with.
    pub fn sample(
        &mut self,
        prompts: Vec<(Vec<u32>, u64)>,
        sampling: &Sampling,
        stop: &dyn Fn() -> bool,
        done: &mut dyn FnMut(usize, Completion) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Self { engine, encoder, ends, options, .. } = self;
        let max_tokens = options.n_predict;
        let request = |(prompt, seed)| SampleRequest { prompt, seed, max_tokens };
        let requests: Vec<_> = prompts.into_iter().map(request).collect();
        let limits = memory::plan(engine, &requests, options.memory, options.n_parallel)?;
        let mut failed = None;
        engine.sample(
            &requests,
            &sampling.choice(),
            limits,
            ends,
            stop,
            &mut |index, sample| {
                done(index, completion(encoder, &sample)).unwrap_or_else(|error| {
                    failed = Some(error);
                    ControlFlow::Break(())
                })
            },
        )?;
        failed.map_or(Ok(()), Err)
    }
}

fn completion(encoder: &Encoder, sample: &Sample) -> Completion {
    let text = encoder.text(&sample.tokens);
    Completion {
        tokens: sample.tokens.len(),
        truncated: !matches!(sample.end, SampleEnd::Token(_)),
        last_word: last_word(encoder, sample, &text),
        text,
    }
}

/// Log-probability of the tokens that are left when the text before its last word is written.
fn last_word(encoder: &Encoder, Sample { tokens, log_probs, .. }: &Sample, text: &str) -> f64 {
    let word = text.len() - text.trim_end().rfind(char::is_whitespace).unwrap_or(0);
    let mut len = 0;
    let first = tokens.iter().rposition(|&token| {
        len += encoder.piece(token).len();
        len >= word
    });
    log_probs[first.unwrap_or(0)..tokens.len()].iter().sum()
}
