//! Why records cannot be tokenized.

use std::fmt;

use crate::data::Origin;

/// A part of an example that is never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedPart {
    /// What is learned.
    Response,
    /// What is learned from.
    Judgment,
    /// The template's own words, with the conversation's tools and calls of them.
    Template,
}

impl fmt::Display for FixedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Response => "response",
            Self::Judgment => "judgment",
            Self::Template => "template",
        })
    }
}

/// Why a record has no tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// The response leaves no room for a prompt.
    #[error(
        "{origin}: the response has {response} tokens with its end, --max-length is {max_length} \
         and a prompt has to fit as well\nhint: raise --max-length (the model's context holds \
         {context_length}), or leave such examples out with --on-long drop"
    )]
    Response {
        /// Where it is.
        origin: Origin,
        /// Its tokens.
        response: usize,
        /// What is allowed.
        max_length: usize,
        /// What the model allows.
        context_length: usize,
    },
    /// What is never cut leaves no room for any text of a message.
    #[error(
        "{origin}: the {longest} is too long: the response has {response} tokens with its end, the \
         judgment {judgment}, the template {template}, none of them is cut, and --max-length is \
         {max_length}\nhint: raise --max-length (the model's context holds {context_length}), or \
         leave such examples out with --on-long drop"
    )]
    Fixed {
        /// Where it is.
        origin: Origin,
        /// The longest of the parts.
        longest: FixedPart,
        /// Tokens of the response.
        response: usize,
        /// Tokens of the judgment; none where it is not read.
        judgment: usize,
        /// All others.
        template: usize,
        /// What is allowed.
        max_length: usize,
        /// What the model allows.
        context_length: usize,
    },
    /// A long example that is neither cut nor left out.
    #[error(
        "{origin}: the example has {tokens} tokens, --max-length is {max_length}\nhint: --on-long \
         truncate cuts the prompt, --on-long drop leaves such examples out"
    )]
    Long {
        /// Where it is.
        origin: Origin,
        /// Tokens of its longest context.
        tokens: usize,
        /// What is allowed.
        max_length: usize,
    },
    /// The template cannot render the example.
    #[error(
        "{origin}: the template cannot render this example\nhint: --skip-bad-lines leaves such \
         examples out and lists them"
    )]
    Render {
        /// Where it is.
        origin: Origin,
        /// The template's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The template renders none of the examples.
    #[error("{origin}: the template cannot render this example, nor any other")]
    RendersNone {
        /// Where the first one is.
        origin: Origin,
        /// The template's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokenizer fails.
    #[error("{origin}: the tokenizer fails on this example")]
    Encode {
        /// Where it is.
        origin: Origin,
        /// The tokenizer's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing is left.
    #[error(
        "all {dropped} examples {}are longer than --max-length {max_length}",
        if *refused > 0 { "that the template can render " } else { "" }
    )]
    NothingLeft {
        /// How many were dropped.
        dropped: usize,
        /// How many the template cannot render.
        refused: usize,
        /// What is allowed.
        max_length: usize,
    },
}

impl TokenizeError {
    /// A failure of the tokenizer.
    pub fn encode(origin: &Origin, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Encode { origin: origin.clone(), source: source.into() }
    }
}
