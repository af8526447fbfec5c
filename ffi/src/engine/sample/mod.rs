//! Answers to prompts, many at a time.
//!
//! A pass reads one token of every sequence that has begun, and the whole prompt of those that begin;
//! their keys and values are kept. As soon as a sequence ends, the next request takes its place. A pass
//! over 32 sequences costs little more than one over a single one, since weights are unpacked once.
//!
//! What a sequence becomes depends on its prompt and its seed alone: rows of a pass do not touch each
//! other, each has random numbers of its own, and a prompt is always read in one pass.

mod cache;
mod choice;

use std::collections::VecDeque;
use std::ops::ControlFlow;

use cutq_kernels::{Kernels, Segment};

pub(super) use cache::Cache;
pub use choice::Choice;

use super::Engine;
use super::batch::Batch;
use super::graphs::LayerRun;
use crate::error::EngineError;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::ops::head::Head;
use crate::ops::linear::Linear;
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Saved, Tape, Var};

/// A prompt that is to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRequest {
    /// Token ids; at least one.
    pub prompt: Vec<u32>,
    /// Decides the draws.
    pub seed: u64,
    /// Tokens at most, one at least.
    pub max_tokens: usize,
}

/// How a prompt was continued.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The answer, without the token that ends it.
    pub tokens: Vec<u32>,
    /// Nats, of each token and of the one that ends the answer, if one does: as the model has them,
    /// whatever the temperature.
    pub log_probs: Vec<f64>,
    /// Why it ends.
    pub end: SampleEnd,
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleEnd {
    /// With this token, one of those that end answers.
    Token(u32),
    /// It has as many tokens as it may have.
    Length,
    /// The model's context is full.
    Context,
}

/// How many sequences there are at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleOptions {
    /// Bytes for keys and values: sequences wait for those before them where they do not suffice.
    pub memory: u64,
    /// Sequences at most.
    pub n_parallel: usize,
}

/// Tokens of a pass, unless one prompt alone has more: as many as make products fast.
const PASS: usize = 512;

/// A sequence that is being continued.
struct Live {
    request: usize,
    /// Where its keys and values are.
    row: Segment,
    /// The prompt, and the answer so far.
    tokens: Vec<u32>,
    n_prompt: usize,
    /// Tokens that were read: their keys and values are kept.
    past: usize,
    log_probs: Vec<f64>,
}

impl Live {
    fn answer(&self) -> &[u32] {
        &self.tokens[self.n_prompt..]
    }
}

impl Engine {
    /// Bytes of the keys and values of `n_tokens` tokens.
    pub fn cache_bytes(&self, n_tokens: usize) -> u64 {
        (n_tokens * Cache::token_bytes(&self.architecture)) as u64
    }

    /// Continues every request until a token of `ends` or its number of tokens. `done` gets each with
    /// its index as it ends, in any order; after a `Break` the others are given up.
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
        done: &mut dyn FnMut(usize, Sample) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        if self.copied {
            return Err(EngineError::SamplesOnCpu);
        }
        self.pending = None;
        self.make_panels()?;
        let room = self.room(requests, options)?;
        self.cache = Some(Cache::new(&self.backend, &self.architecture, room)?);
        let result = self.continue_all(requests, choice, options.n_parallel.max(1), ends, done);
        self.cache = None;
        result
    }

    /// Tokens to keep: those of the longest sequences that may live at a time, within the memory.
    fn room(
        &self,
        requests: &[SampleRequest],
        options: SampleOptions,
    ) -> Result<usize, EngineError> {
        let Self { architecture, .. } = self;
        let mut longest = Vec::with_capacity(requests.len());
        for SampleRequest { prompt, .. } in requests {
            let (len, context_length) = (prompt.len() + 1, architecture.context_length);
            if prompt.is_empty() {
                return Err(EngineError::Empty { prompt: 0, response: 1 });
            } else if len > context_length {
                return Err(EngineError::TooLong { len, context_length });
            }
            let n_vocab = architecture.n_vocab;
            if let Some(&token) = prompt.iter().find(|&&token| token as usize >= n_vocab) {
                return Err(EngineError::Token { token, n_vocab });
            }
        }
        longest.extend(requests.iter().map(|request| self.longest(request)));
        longest.sort_unstable_by_key(|&len| std::cmp::Reverse(len));
        let wanted: usize = longest.iter().take(options.n_parallel.max(1)).sum();
        let fits = options.memory / self.cache_bytes(1).max(1);
        let fits = usize::try_from(fits).unwrap_or(usize::MAX);
        match longest.first() {
            Some(&one) if one > fits => {
                let (needed, memory) = (self.cache_bytes(one), options.memory);
                Err(EngineError::SampleMemory { needed, memory })
            }
            _ => Ok(wanted.min(fits).max(1)),
        }
    }

    /// Tokens whose keys and values a request may need: the last one's are not.
    fn longest(&self, request: &SampleRequest) -> usize {
        let len = request.prompt.len() + request.max_tokens.max(1) - 1;
        len.min(self.architecture.context_length)
    }

    fn continue_all(
        &mut self,
        requests: &[SampleRequest],
        choice: &Choice,
        n_parallel: usize,
        ends: &[u32],
        done: &mut dyn FnMut(usize, Sample) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
        let mut live: Vec<Live> = Vec::new();
        while !(waiting.is_empty() && live.is_empty()) {
            self.admit(requests, n_parallel, &mut waiting, &mut live);
            let logits = self.read_on(&mut live)?;
            let seeds: Vec<u64> = live.iter().map(|live| requests[live.request].seed).collect();
            let chosen = self.choose(&logits, choice, &live, &seeds)?;
            let mut going_on = Vec::with_capacity(live.len());
            for (mut live, (token, log_prob)) in live.drain(..).zip(chosen) {
                live.log_probs.push(log_prob);
                let Some(end) = self.end(&mut live, token, ends, requests) else {
                    going_on.push(live);
                    continue;
                };
                self.cache.as_mut().expect("made before").give(live.row);
                let tokens = live.answer().to_vec();
                let sample = Sample { tokens, log_probs: live.log_probs, end };
                if done(live.request, sample).is_break() {
                    return Ok(());
                }
            }
            live = going_on;
        }
        Ok(())
    }

    /// Begins what has room, in order, as long as a pass is not full.
    fn admit(
        &mut self,
        requests: &[SampleRequest],
        n_parallel: usize,
        waiting: &mut VecDeque<usize>,
        live: &mut Vec<Live>,
    ) {
        let mut in_pass = live.len();
        while let Some(&request) = waiting.front().filter(|_| live.len() < n_parallel) {
            let SampleRequest { prompt, .. } = &requests[request];
            let is_full = in_pass > 0 && in_pass + prompt.len() > PASS;
            let len = self.longest(&requests[request]);
            let row = match is_full {
                true => None,
                false => self.cache.as_mut().expect("made before").take(len),
            };
            let Some(row) = row else { return };
            waiting.pop_front();
            in_pass += prompt.len();
            let (tokens, n_prompt) = (prompt.clone(), prompt.len());
            live.push(Live { request, row, tokens, n_prompt, past: 0, log_probs: Vec::new() });
        }
    }

    /// Adds a token to a sequence, unless the token ends it; why it ends, if it does.
    fn end(
        &self,
        live: &mut Live,
        token: u32,
        ends: &[u32],
        requests: &[SampleRequest],
    ) -> Option<SampleEnd> {
        if ends.contains(&token) {
            return Some(SampleEnd::Token(token));
        }
        live.tokens.push(token);
        if live.answer().len() >= requests[live.request].max_tokens {
            return Some(SampleEnd::Length);
        }
        (live.tokens.len() > self.architecture.context_length).then_some(SampleEnd::Context)
    }

    /// Reads what is new of each sequence; the logits of what follows, a row each.
    fn read_on(&mut self, live: &mut [Live]) -> Result<Vec<f32>, EngineError> {
        let new = live.iter().map(|live| (live.row, &live.tokens[live.past..], live.past));
        let batch = Batch::continuing(new);
        let residual = self.arena.tensors(&self.backend, &[self.residual_shape(&batch); 2])?;
        self.embed(&batch.tokens, &residual[0]);
        let n_layer = self.architecture.n_layer;
        for layer in 0..n_layer {
            let ends = [layer, layer + 1].map(|i| &residual[i % 2]);
            self.run_layer(&LayerRun { layer, batch: &batch, seed: None, saved: None }, ends)?;
        }
        live.iter_mut().for_each(|live| live.past = live.tokens.len());
        self.logits(&batch, &residual[n_layer % 2])
    }

    /// The logits behind the last token of each sequence.
    fn logits(&self, batch: &Batch, residual: &Tensor) -> Result<Vec<f32>, EngineError> {
        let head = self.head(batch)?;
        let graph = Graph::new(CAPACITY);
        let last = batch.segments.iter().map(|segment| segment.start + segment.len - 1);
        let logits = add_logits(&*self.ops, &head, &graph, residual, last);
        graph.output(logits);
        self.backend.run(&graph)?;
        let logits = logits.read();
        self.weights.release_others();
        Ok(logits)
    }

    /// The next token of each sequence and its log-probability; threads divide the rows.
    fn choose(
        &self,
        logits: &[f32],
        choice: &Choice,
        live: &[Live],
        seeds: &[u64],
    ) -> Result<Vec<(u32, f64)>, EngineError> {
        let kernels = Kernels::detect()?;
        let rows: Vec<(&[f32], &Live, u64)> = logits
            .chunks_exact(self.architecture.n_vocab)
            .zip(live)
            .zip(seeds)
            .map(|((row, live), &seed)| (row, live, seed))
            .collect();
        let choose = |&(row, live, seed): &(&[f32], &Live, u64)| {
            let token = choice.choose(row, live.answer(), seed);
            (token, kernels.log_prob(row, token as usize))
        };
        let share = rows.len().div_ceil(self.n_threads).max(1);
        Ok(std::thread::scope(|scope| {
            let parts = rows.chunks(share);
            let threads: Vec<_> = parts
                .map(|part| scope.spawn(|| part.iter().map(choose).collect::<Vec<_>>()))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
                thread.join().expect("choosing does not panic")
            };
            threads.into_iter().flat_map(join).collect()
        }))
    }
}

/// More than the tensors of the graph of the logits.
const CAPACITY: usize = 64;

/// The logits of the rows `positions` of the residual.
fn add_logits<'g>(
    ops: &'g dyn Lowering,
    head: &'g Head<'_>,
    graph: &'g Graph,
    residual: &'g Tensor,
    positions: impl Iterator<Item = usize>,
) -> Node<'g> {
    let mut tape = Tape::new(graph, Saved::Nothing);
    let norm =
        |tape: &mut Tape<'g>, x: Var<'g>, weight: Node<'g>, eps| ops.rms_norm(tape, x, weight, eps);
    let rows = head.rows(&mut tape, graph.leaf(residual), positions, norm);
    let linear = Linear { weight: &head.tensors.weight, lora: None, needed: false };
    ops.linear(&mut tape, rows.normed, linear).node
}
