//! How much room requests need.

use cutq_kernels::PAGE;

use super::cache::Cache;
use super::request::{SampleOptions, SampleRequest};
use crate::engine::Engine;
use crate::error::EngineError;

/// What is decided before the first token is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Tokens that all prompts begin with, in whole pages: they are read once.
    pub n_shared: usize,
    /// Pages in all.
    pub n_pages: usize,
}

impl Engine {
    /// Bytes of the keys and values of a sequence of `n_tokens` tokens.
    pub fn cache_bytes(&self, n_tokens: usize) -> u64 {
        (n_tokens.div_ceil(PAGE) * Cache::page_bytes(&self.architecture)) as u64
    }

    /// Bytes of the keys and values of the longest `n_parallel` of these requests.
    pub fn requests_bytes(&self, requests: &[SampleRequest], n_parallel: usize) -> u64 {
        let pages = self.pages_of(requests, shared(requests), n_parallel);
        self.cache_bytes(pages * PAGE)
    }

    /// Room for the longest sequences that may live at a time, within the memory.
    pub(super) fn room(
        &self,
        requests: &[SampleRequest],
        options: SampleOptions,
    ) -> Result<Room, EngineError> {
        requests.iter().try_for_each(|request| self.check_request(request))?;
        let n_shared = shared(requests);
        let least = self.pages_of(requests, n_shared, 1);
        let wanted = self.pages_of(requests, n_shared, options.n_parallel);
        let fits = options.memory / self.cache_bytes(PAGE);
        let fits = usize::try_from(fits).unwrap_or(usize::MAX);
        if least > fits {
            let (needed, memory) = (self.cache_bytes(least * PAGE), options.memory);
            return Err(EngineError::SampleMemory { needed, memory });
        }
        Ok(Room { n_shared, n_pages: wanted.min(fits).max(1) })
    }

    /// Pages of what all prompts share, and of the rest of the `n_parallel` longest.
    fn pages_of(&self, requests: &[SampleRequest], n_shared: usize, n_parallel: usize) -> usize {
        let own = |request| self.longest(request).saturating_sub(n_shared).div_ceil(PAGE);
        let mut own: Vec<usize> = requests.iter().map(own).collect();
        own.sort_unstable_by_key(|&pages| std::cmp::Reverse(pages));
        n_shared / PAGE + own.iter().take(n_parallel.max(1)).sum::<usize>()
    }

    /// Tokens whose keys and values a request may need: the last one's are not.
    pub(super) fn longest(&self, request: &SampleRequest) -> usize {
        let len = request.prompt.len() + request.max_tokens.max(1) - 1;
        len.min(self.architecture.context_length)
    }

    fn check_request(
        &self,
        SampleRequest { prompt, .. }: &SampleRequest,
    ) -> Result<(), EngineError> {
        let (n_vocab, context_length) =
            (self.architecture.n_vocab, self.architecture.context_length);
        let len = prompt.len() + 1;
        if prompt.is_empty() {
            return Err(EngineError::Empty { prompt: 0, response: 1 });
        } else if len > context_length {
            return Err(EngineError::TooLong { len, context_length });
        }
        match prompt.iter().find(|&&token| token as usize >= n_vocab) {
            Some(&token) => Err(EngineError::Token { token, n_vocab }),
            None => Ok(()),
        }
    }
}

/// Tokens in whole pages that all prompts begin with, before the last of each.
fn shared(requests: &[SampleRequest]) -> usize {
    let [first, others @ ..] = requests else { return 0 };
    if others.is_empty() {
        return 0;
    }
    let common = |request: &SampleRequest| {
        let pairs = first.prompt.iter().zip(&request.prompt);
        pairs.take_while(|(a, b)| a == b).count().min(request.prompt.len().saturating_sub(1))
    };
    requests.iter().map(common).min().unwrap_or(0) / PAGE * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_are_shared_but_no_last_token() {
        let request = |len: usize, last: u32| {
            let mut prompt = vec![7; len];
            prompt.push(last);
            SampleRequest { prompt, seed: 0, max_tokens: 1 }
        };
        assert_eq!(shared(&[]), 0);
        assert_eq!(shared(&[request(200, 1)]), 0);
        assert_eq!(shared(&[request(200, 1), request(200, 2)]), 192);
        assert_eq!(shared(&[request(191, 7), request(200, 2)]), 128);
        assert_eq!(shared(&[request(200, 1), request(63, 2)]), 0);
    }
}
