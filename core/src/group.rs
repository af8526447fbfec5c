//! A tokenized example: one response, the prompts it is read after.

use alloc::vec::Vec;

use thiserror::Error;

use crate::context::{ContextKind, Contexts, PerContext};
use crate::example_loss::Marks;
use crate::model::Sequence;

/// The token ids of one example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The example's index in the data, for messages.
    pub index: usize,
    /// The prompts that the response is read after. The judged one is there exactly if the example
    /// has a judgment, the contrast if the objective asks for it.
    pub prompts: PerContext<Option<Vec<u32>>>,
    /// The response, with its closing EOS if it has one.
    pub response: Vec<u32>,
    /// Whether the response's last token is the closing EOS.
    pub ends_with_eos: bool,
    /// Whether the judge quoted a token of the response as wrong, one each; `None` if it quoted none.
    pub quoted: Option<Vec<bool>>,
}

/// A group that cannot be read as an objective asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// No token to learn from.
    #[error("example {example} has an empty response")]
    EmptyResponse {
        /// Index in the data.
        example: usize,
    },
    /// A prompt is needed that the group lacks.
    #[error("example {example} has no {context} prompt")]
    MissingPrompt {
        /// Index in the data.
        example: usize,
        /// Which one.
        context: ContextKind,
    },
    /// Without a prompt nothing predicts the response's first token.
    #[error("example {example} has an empty {context} prompt")]
    EmptyPrompt {
        /// Index in the data.
        example: usize,
        /// Which one.
        context: ContextKind,
    },
}

impl Group {
    /// Whether the example has a judgment.
    pub fn is_judged(&self) -> bool {
        self.prompts.judged.is_some()
    }

    /// What is known of the response.
    pub fn marks(&self) -> Marks<'_> {
        let (is_judged, ends_with_eos) = (self.is_judged(), self.ends_with_eos);
        Marks { is_judged, ends_with_eos, quoted: self.quoted.as_deref() }
    }

    /// The prompt of one context.
    pub fn prompt_of(&self, context: ContextKind) -> Option<&[u32]> {
        self.prompts.get(context).as_deref()
    }

    /// Tokens that are run forward to read the example in `contexts`.
    pub fn n_tokens(&self, contexts: Contexts) -> usize {
        let prompts = contexts.kinds().filter_map(|kind| self.prompt_of(kind));
        prompts.map(|prompt| prompt.len() + self.response.len()).sum()
    }

    /// The sequences to run, in the order plain, judged, contrast.
    ///
    /// # Errors
    /// If a prompt is missing or empty, or the response is empty.
    pub fn sequences(&self, contexts: Contexts) -> Result<Vec<Sequence<'_>>, GroupError> {
        let example = self.index;
        if self.response.is_empty() {
            return Err(GroupError::EmptyResponse { example });
        }
        let sequence = |context| match self.prompt_of(context) {
            None => Err(GroupError::MissingPrompt { example, context }),
            Some([]) => Err(GroupError::EmptyPrompt { example, context }),
            Some(prompt) => {
                let id = (example * ContextKind::ALL.len() + context as usize) as u64;
                Ok(Sequence { prompt, response: &self.response, id })
            }
        };
        contexts.kinds().map(sequence).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn sequences_follow_the_contexts() {
        let mut group = Group {
            index: 7,
            prompts: PerContext {
                plain: Some(vec![1, 2]),
                judged: Some(vec![1, 2, 3]),
                contrast: None,
            },
            response: vec![4, 5],
            ends_with_eos: true,
            quoted: None,
        };
        assert_eq!(group.n_tokens(Contexts::BOTH), 9);
        let sequences = group.sequences(Contexts::BOTH).expect("both prompts are there");
        assert_eq!(sequences[1], Sequence { prompt: &[1, 2, 3], response: &[4, 5], id: 22 });
        let context = ContextKind::Contrast;
        let all = Contexts { contrast: true, ..Contexts::BOTH };
        assert_eq!(group.sequences(all), Err(GroupError::MissingPrompt { example: 7, context }));
        group.response.clear();
        let empty = Err(GroupError::EmptyResponse { example: 7 });
        assert_eq!(group.sequences(Contexts::PLAIN), empty);
    }
}
