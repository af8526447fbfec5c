//! Control tokens, and where their texts stand in other text.

use std::collections::HashSet;
use std::ffi::CStr;

use aho_corasick::{AhoCorasick, Input, MatchKind};

use crate::llama::model::LlamaModel;
use crate::sys;

/// The tokens of a vocabulary that text never becomes, such as `<|im_end|>`.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    /// Finds all texts at once; none if there are no control tokens.
    finder: Option<AhoCorasick>,
    /// The tokens, in the finder's order.
    ids: Vec<u32>,
    set: HashSet<u32>,
}

/// Where a control token's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The token.
    pub id: u32,
}

impl Controls {
    /// Those that llama.cpp sees in a model: it adds some by name to those that the file marks.
    pub fn of_model(model: &LlamaModel) -> Self {
        let vocab = model.vocab();
        let control = sys::LLAMA_TOKEN_ATTR_CONTROL;
        // SAFETY: the vocabulary is alive and every id is below its size; texts are NUL-terminated.
        Self::new(unsafe {
            (0..sys::llama_vocab_n_tokens(vocab))
                .filter(|&id| sys::llama_vocab_get_attr(vocab, id) & control != 0)
                .map(|id| {
                    let text = CStr::from_ptr(sys::llama_vocab_get_text(vocab, id));
                    (text.to_string_lossy().into_owned(), id as u32)
                })
                .filter(|(text, _)| !text.is_empty())
                .collect()
        })
    }

    /// Of these texts and tokens.
    pub fn new(tokens: Vec<(String, u32)>) -> Self {
        let (texts, ids): (Vec<String>, Vec<u32>) = tokens.into_iter().unzip();
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&texts);
        let finder = finder.ok().filter(|_| !texts.is_empty());
        Self { finder, set: ids.iter().copied().collect(), ids }
    }

    /// Whether the token is one of them.
    pub fn contains(&self, id: u32) -> bool {
        self.set.contains(&id)
    }

    /// The first text at or after byte `from`; of several at one place the longest.
    pub fn find(&self, text: &str, from: usize) -> Option<Found> {
        let found = self.finder.as_ref()?.find(Input::new(text).range(from..))?;
        let id = self.ids[found.pattern().as_usize()];
        Some(Found { start: found.start(), end: found.end(), id })
    }

    /// How many stand in `text`, one after another.
    #[cfg(test)]
    pub fn count(&self, text: &str) -> usize {
        self.finder.as_ref().map_or(0, |finder| finder.find_iter(text).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_at_the_first_place_is_found() {
        let tokens = [("<a>", 1), ("<a><b>", 2), ("</a>", 3)];
        let controls = Controls::new(tokens.map(|(text, id)| (text.to_owned(), id)).to_vec());
        assert_eq!(controls.find("x<a><b>", 0), Some(Found { start: 1, end: 7, id: 2 }));
        assert_eq!(controls.find("x<a><b>", 2), None);
        assert_eq!(controls.count("<a></a> <a>"), 3);
        assert!(controls.contains(3) && !controls.contains(4));
        assert_eq!(Controls::default().find("<a>", 0), None);
    }
}
