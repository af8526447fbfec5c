//! The model that answers.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result};
use cutq_core::example::Example;
use cutq_core::template::{Piece, Template};
use cutq_ffi::{Device, Sample, SampleEnd, SampleRequest};

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
}

/// What answers, and where.
pub struct SamplerOptions {
    /// The model's file.
    pub model: PathBuf,
    /// The adapter's.
    pub adapter: Option<PathBuf>,
    /// Where it computes.
    pub device: Device,
    /// Threads.
    pub n_threads: usize,
    /// Arithmetic of the products with its weights.
    pub precision: PrecisionName,
    /// Tokens of an answer at most.
    pub n_predict: usize,
    /// Bytes that all of it may take; half of what is available by default.
    pub memory: Option<u64>,
    /// Answers at the same time at most.
    pub n_parallel: Option<usize>,
}

/// A model with its template and tokenizer.
pub struct Sampler {
    /// What answers, and where.
    pub options: SamplerOptions,
    /// What puts a prompt before it.
    pub template: AnyTemplate,
    /// Its tokenizer.
    pub encoder: Encoder,
}

impl Sampler {
    /// The text of a prompt, and its tokens.
    ///
    /// # Errors
    /// A prompt that the template or the tokenizer refuses.
    pub(super) fn render(&self, example: &Example) -> Result<(String, Vec<u32>)> {
        let pieces =
            self.template.prompt(example, None).context("the template cannot render the prompt")?;
        let tokens =
            self.encoder.prompt(&pieces).context("the tokenizer cannot encode the prompt")?;
        Ok((pieces.iter().map(Piece::text).collect(), tokens))
    }

    /// Answers every request; `done` gets each with its index as it is finished, in any order.
    ///
    /// # Errors
    /// A model that cannot be computed, or not within the memory; what `done` fails with.
    pub(super) fn sample(
        &self,
        requests: Vec<SampleRequest>,
        sampling: &Sampling,
        done: &mut dyn FnMut(usize, Completion) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let SamplerOptions { device, n_threads, precision, .. } = self.options;
        let model = ModelFile::open(&self.options.model)?;
        let adapter = match &self.options.adapter {
            Some(path) => model.adapter(path)?,
            None => model.no_adapter(),
        };
        let mut engine = model.engine(adapter, device, n_threads, precision)?;
        let SamplerOptions { memory, n_parallel, .. } = self.options;
        let options = memory::plan(&mut engine, &requests, memory, n_parallel)?;
        let ends = self.encoder.ends();
        let mut failed = None;
        engine.sample(&requests, &sampling.choice(), options, &ends, &mut |index, sample| {
            match done(index, self.completion(&sample)) {
                Ok(flow) => flow,
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn completion(&self, sample: &Sample) -> Completion {
        Completion {
            text: self.encoder.text(&sample.tokens),
            tokens: sample.tokens.len(),
            truncated: !matches!(sample.end, SampleEnd::Token(_)),
        }
    }
}
