//! The model that answers.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cutq_core::example::Example;
use cutq_core::template::{Piece, Template};
use cutq_ffi::{Device, Generator, GeneratorOptions, Gguf};

use super::settings::Sampling;
use crate::data::Encode;
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

/// A prompt that is to be answered.
pub(super) struct Request {
    pub prompt: Vec<u32>,
    pub seed: u64,
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
    /// Tokens of an answer at most.
    pub n_predict: usize,
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
    /// A model that cannot be computed; what `done` fails with.
    pub(super) fn sample(
        &self,
        requests: &[Request],
        sampling: &Sampling,
        done: &mut dyn FnMut(usize, Completion) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let SamplerOptions { model, adapter, device, n_threads, n_predict } = &self.options;
        let longest = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
        let n_ctx = context(model, longest + n_predict)?;
        let options = GeneratorOptions {
            device: *device,
            n_ctx,
            n_threads: *n_threads,
            exact_attention: false,
        };
        let mut generator = Generator::open(model, adapter.as_deref(), options)
            .context("cannot start llama.cpp")?;
        for (index, request) in requests.iter().enumerate() {
            let completion = complete(&mut generator, request, sampling, *n_predict)?;
            if done(index, completion)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Room for `wanted` tokens, but no more than the model was trained for.
fn context(model: &Path, wanted: usize) -> Result<usize> {
    let gguf = Gguf::open(model).context("cannot open the model")?;
    Ok(gguf.context_length().map_or(wanted, |n| n.min(wanted)))
}

fn complete(
    generator: &mut Generator,
    request: &Request,
    sampling: &Sampling,
    n_predict: usize,
) -> Result<Completion> {
    if sampling.min_p > 0.0 || sampling.repeat_penalty != 1.0 {
        bail!("--min-p and --repeat-penalty are not there yet");
    }
    let sampling = cutq_ffi::Sampling {
        n_predict,
        temperature: sampling.temperature as f32,
        top_p: sampling.top_p as f32,
        top_k: sampling.top_k,
        seed: request.seed as u32,
        ignore_eos: false,
    };
    // Once per token, and once at the end.
    let mut pieces = 0;
    let text = generator.generate(&request.prompt, &sampling, &mut |_| pieces += 1)?;
    let tokens = pieces - 1;
    Ok(Completion { text, tokens, truncated: tokens == n_predict })
}
