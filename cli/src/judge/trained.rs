//! The judge of one's own: a model with an adapter that `cutq finetune --task judge` has trained.
//!
//! It writes its judgment and `Yes.` or `No.`; the probability of that word is kept as P(Yes). The
//! training engine writes many judgments at a time.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cutq_core::example::Example;
use cutq_ffi::{Gguf, Now};

use super::asking::Judge;
use super::call::Call;
use super::model::{MAX_TOKENS, name};
use super::reply::{Outcome, Reply, Usage};
use crate::data::{Task, decision};
use crate::flags::PrecisionName;
use crate::sampling::{Completion, Sampler, SamplerOptions, Sampling};
use crate::session::model::ModelFile;
use crate::text;

/// A model that has learned to judge.
pub struct TrainedJudge {
    name: String,
    sampler: Sampler,
}

impl TrainedJudge {
    /// Whether the adapter in a file has learned to judge.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn is_one(adapter: &Path) -> Result<bool> {
        let gguf = Gguf::open(adapter).context("cannot open the judge's adapter")?;
        Ok(gguf.str("adapter.lora.task_name") == Task::Judge.name())
    }

    /// The judge in these files.
    ///
    /// # Errors
    /// Files that cannot be used.
    pub fn open(model: &Path, adapter: &Path, n_threads: usize) -> Result<Self> {
        let name = name(model, Some(adapter))?;
        let model = ModelFile::open(model)?;
        let text = text::open(&model.gguf, None, None, Now::local())?;
        let options = SamplerOptions {
            n_threads,
            precision: PrecisionName::Int8,
            n_predict: MAX_TOKENS,
            n_parallel: None,
            memory: None,
        };
        Ok(Self { name, sampler: Sampler::open(&model, Some(adapter), text, options)? })
    }
}

impl Judge for TrainedJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let (mut asked, mut prompts) = (Vec::new(), Vec::new());
        for call in calls {
            let example = Example::from_messages(call.messages.clone(), "", None);
            let prompt = self.sampler.encode(&example)?;
            let n_ctx = self.sampler.n_ctx();
            if prompt.len() >= n_ctx {
                let reason = format!("{} tokens, the judge reads {n_ctx}", prompt.len());
                if received(Reply::new(call.key.clone(), Outcome::Context, reason, Duration::ZERO))
                    .is_break()
                {
                    return Ok(());
                }
                continue;
            }
            asked.push((call, prompt.len() as u64));
            prompts.push((prompt, 0));
        }
        let mut begun = Instant::now();
        self.sampler.sample(prompts, &Sampling::GREEDY, stop, &mut |index, completion| {
            // Many are written at the same time: what each has added.
            let took = begun.elapsed();
            begun = Instant::now();
            let (call, prompt_tokens) = asked[index];
            Ok(received(reply(call, prompt_tokens, completion, took)))
        })
    }
}

fn reply(call: &Call, prompt_tokens: u64, completion: Completion, took: Duration) -> Reply {
    let Completion { text, tokens, truncated, last_word } = completion;
    let decided = decision(&text);
    let (outcome, finish_reason) = match truncated {
        true => (Outcome::Cut, "length"),
        false if text.trim().is_empty() => (Outcome::Empty, "stop"),
        false if decided.is_none() => (Outcome::Unparsable, "stop"),
        false => (Outcome::Answered, "stop"),
    };
    let p_yes = decided.map(|(_, is_perfect)| match is_perfect {
        true => last_word.exp(),
        false => 1.0 - last_word.exp(),
    });
    Reply {
        finish_reason: Some(finish_reason.to_owned()),
        usage: Some(Usage { prompt_tokens, completion_tokens: tokens as u64 }),
        p_yes,
        ..Reply::new(call.key.clone(), outcome, text, took)
    }
}
