//! The sequences that are being continued, and the requests that wait.

use std::collections::VecDeque;

use cutq_kernels::PAGE;

use super::cache::Cache;
use super::request::{Sample, SampleEnd, SampleRequest};

/// Tokens of a pass, unless one prompt alone has more: as many as make products fast.
pub(super) const PASS: usize = 512;

/// A sequence that is being continued.
pub(super) struct Live<'a> {
    /// The number of its request.
    pub index: usize,
    pub request: &'a SampleRequest,
    /// The pages of its keys and values.
    pub pages: Vec<usize>,
    /// The prompt, and the answer so far.
    pub tokens: Vec<u32>,
    /// Tokens that were read: their keys and values are kept.
    pub past: usize,
    pub log_probs: Vec<f64>,
}

impl Live<'_> {
    /// The tokens so far behind the prompt.
    pub fn answer(&self) -> &[u32] {
        &self.tokens[self.request.prompt.len()..]
    }

    /// Adds a token, unless it ends the answer; why the answer ends, if it does.
    pub fn add(&mut self, token: u32, ends: &[u32], context_length: usize) -> Option<SampleEnd> {
        if ends.contains(&token) {
            return Some(SampleEnd::Token(token));
        }
        self.tokens.push(token);
        if self.answer().len() >= self.request.max_tokens {
            return Some(SampleEnd::Length);
        }
        (self.tokens.len() > context_length).then_some(SampleEnd::Context)
    }

    /// What became of it.
    pub fn finish(self, end: SampleEnd) -> Sample {
        Sample { tokens: self.answer().to_vec(), log_probs: self.log_probs, end }
    }
}

/// Requests, in order: those that wait, and those that are being continued.
pub(super) struct Queue<'a> {
    pub waiting: VecDeque<(usize, &'a SampleRequest)>,
    pub live: Vec<Live<'a>>,
    /// Pages of what all prompts begin with.
    pub shared: Vec<usize>,
}

impl<'a> Queue<'a> {
    /// All of them wait.
    pub fn new(requests: &'a [SampleRequest], shared: Vec<usize>) -> Self {
        Self { waiting: requests.iter().enumerate().collect(), live: Vec::new(), shared }
    }

    /// Whether all are answered.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.live.is_empty()
    }

    /// Begins those that have room, in order, as long as a pass is not full. `longest` says how many
    /// tokens a request may come to.
    pub fn admit(
        &mut self,
        n_parallel: usize,
        cache: &mut Cache,
        longest: impl Fn(&SampleRequest) -> usize,
    ) {
        let past = self.shared.len() * PAGE;
        let mut in_pass = self.live.len();
        while let Some(&(index, request)) = self.waiting.front() {
            let new = request.prompt.len() - past;
            let is_full = in_pass > 0 && in_pass + new > PASS;
            if self.live.len() == n_parallel || is_full {
                return;
            }
            let own = (longest(request) - past).div_ceil(PAGE);
            let Some(own) = cache.take(own) else { return };
            self.waiting.pop_front();
            in_pass += new;
            let (pages, tokens) = ([&self.shared[..], &own].concat(), request.prompt.clone());
            self.live.push(Live { index, request, pages, tokens, past, log_probs: Vec::new() });
        }
    }

    /// Gives back the pages of a sequence that has ended.
    pub fn give_back(&self, live: &Live<'_>, cache: &mut Cache) {
        cache.give(live.pages[self.shared.len()..].iter().copied());
    }
}
