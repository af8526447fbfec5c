//! Answers to prompts, many at a time.
//!
//! A pass reads one token of every sequence that has begun, and the whole prompt of those that begin;
//! their keys and values are kept, in pages. As soon as a sequence ends, the next request takes its
//! place. A pass over 32 sequences costs little more than one over a single one: weights are unpacked
//! once, or not at all where their panels are retained ([`Retention::panels`], which here are those of
//! the forward products alone).
//!
//! What all prompts begin with is read once, as far as it fills pages, and its pages are shared.
//!
//! What a sequence becomes depends on its prompt and its seed alone: rows of a pass do not touch each
//! other, tiles of attention begin where pages do, and each sequence has random numbers of its own.
//!
//! | module     | what it is                                              |
//! |------------|---------------------------------------------------------|
//! | `request`  | what is asked of the engine, and what it answers        |
//! | `room`     | how many pages requests need, and which they share      |
//! | `cache`    | the pages                                               |
//! | `sequence` | the sequences that live, and the requests that wait     |
//! | `pass`     | reads what is new of each sequence                      |
//! | `choice`   | the next token, from its logits                         |
//! | `footprint` | memory beside the pages                                |
//!
//! [`Retention::panels`]: crate::Retention::panels

mod cache;
mod choice;
pub(crate) mod footprint;
mod pass;
pub(crate) mod request;
mod room;
mod sequence;

use std::ops::ControlFlow;

use cutq_kernels::PAGE;

pub(super) use cache::Cache;
pub use choice::Choice;

use super::Engine;
use super::batch::Batch;
use crate::error::EngineError;
use crate::residency::retention::PanelUse;
use request::{Sample, SampleOptions, SampleRequest};
use room::Room;
use sequence::Queue;

impl Engine {
    /// Continues every request until a token of `ends` or its number of tokens. `done` gets each with
    /// its index as it ends, in any order; after a `Break` the others are given up, and so they are where
    /// `stop` says so, which is asked before every pass.
    ///
    /// # Errors
    /// Tokens outside the vocabulary, prompts that are empty or longer than the context, less memory
    /// than one sequence takes; a device other than the CPU.
    pub fn sample(
        &mut self,
        requests: &[SampleRequest],
        choice: &Choice,
        options: SampleOptions,
        ends: &[u32],
        stop: &dyn Fn() -> bool,
        done: &mut dyn FnMut(usize, Sample) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        if self.copied {
            return Err(EngineError::SamplesOnCpu);
        }
        self.pending = None;
        let Room { n_shared, n_pages } = self.room(requests, options)?;
        self.make_panels(PanelUse::Sampling)?;
        self.cache = Some(Cache::new(&self.backend, &self.architecture, n_pages)?);
        let shared = self.read_shared(requests, n_shared);
        let result = shared.and_then(|shared| {
            let queue = Queue::new(requests, shared);
            self.continue_all(queue, choice, options.n_parallel.max(1), ends, stop, done)
        });
        self.cache = None;
        result
    }

    /// Reads the first `n` tokens of all prompts, in whole pages; their pages.
    fn read_shared(
        &mut self,
        requests: &[SampleRequest],
        n: usize,
    ) -> Result<Vec<usize>, EngineError> {
        let pages = self.pages().take(n / PAGE).expect("there is room");
        if let Some(request) = requests.first().filter(|_| n > 0) {
            let new = (&pages[..], &request.prompt[..n], 0);
            self.read(&Batch::continuing(std::iter::once(new)))?;
        }
        Ok(pages)
    }

    fn continue_all(
        &mut self,
        mut queue: Queue<'_>,
        choice: &Choice,
        n_parallel: usize,
        ends: &[u32],
        stop: &dyn Fn() -> bool,
        done: &mut dyn FnMut(usize, Sample) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let context_length = self.architecture.context_length;
        while !queue.is_empty() && !stop() {
            let mut cache = self.cache.take().expect("made before");
            queue.admit(n_parallel, &mut cache, |request| self.longest(request));
            self.cache = Some(cache);
            let logits = self.read_on(&mut queue.live)?;
            let chosen = self.choose(&logits, choice, &queue.live)?;
            let mut going_on = Vec::with_capacity(queue.live.len());
            for (mut live, (token, log_prob)) in
                std::mem::take(&mut queue.live).into_iter().zip(chosen)
            {
                live.log_probs.push(log_prob);
                let Some(end) = live.add(token, ends, context_length) else {
                    going_on.push(live);
                    continue;
                };
                queue.give_back(&live, self.pages());
                if done(live.index, live.finish(end)).is_break() {
                    return Ok(());
                }
            }
            queue.live = going_on;
        }
        Ok(())
    }

    fn pages(&mut self) -> &mut Cache {
        self.cache.as_mut().expect("made before")
    }
}
