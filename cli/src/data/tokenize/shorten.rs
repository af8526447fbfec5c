//! Prompts that fit because their texts have lost the middle.

use cutq_core::context::Contexts;
use cutq_core::objective::Objective;
use cutq_core::template::Template;

use super::error::{FixedPart, TokenizeError};
use super::middle::{is_blank, loses_most, without_middle};
use super::search::{Point, most_that_fits};
use super::{Encode, Encoded, Shortened, Tokenize, longest};
use crate::data::Record;

/// Tokens of an example with some or all of its text.
pub struct Tokens {
    /// Of the longest prompt that is read.
    pub prompt: usize,
    /// Of the response and its end.
    pub response: usize,
    /// Bytes of text that are there.
    pub bytes: usize,
    /// Bytes of all its text.
    pub all_bytes: usize,
}

impl Tokens {
    /// Of the longest sequence.
    pub fn sum(&self) -> usize {
        self.prompt + self.response
    }

    /// Of the longest sequence with all text, if what is not there is like what is.
    pub fn whole(&self) -> usize {
        if self.bytes == self.all_bytes {
            return self.sum();
        }
        let tokens_per_byte = self.prompt as f64 / self.bytes as f64;
        (tokens_per_byte * self.all_bytes as f64) as usize + self.response
    }
}

impl<E, T, O> Tokenize<'_, E, T, O>
where
    E: Encode,
    T: Template,
    T::Error: std::error::Error + Send + Sync + 'static,
    O: Objective,
{
    /// The prompts with as much of the messages' texts as fits beside the response: the longest
    /// prompt reaches the limit, or would exceed it with one more character. `before` is too long.
    ///
    /// The texts are cut rather than the ids, so that every context loses the same words and the
    /// template stays whole.
    pub(super) fn shorten(
        &self,
        record: &Record,
        contexts: Contexts,
        before: &Tokens,
    ) -> Result<(Encoded, Shortened), TokenizeError> {
        let example = &record.example;
        let prompts =
            |bytes| self.prompts(&without_middle(example, bytes), contexts, &record.origin);
        let room = self.max_length.saturating_sub(before.response);
        let bare = match prompts(0) {
            // A template may refuse messages without text, and still take short ones.
            Err(TokenizeError::Render { .. }) => 0,
            bare => longest(&bare?, contexts),
        };
        if room == 0 || bare > room {
            return Err(self.no_room(record, contexts, bare, before.response));
        }
        let mut kept = None;
        let none = Point { bytes: 0, tokens: bare };
        let much = Point { bytes: before.bytes, tokens: before.prompt };
        let bytes = most_that_fits(none, much, room, |bytes| {
            let found = prompts(bytes)?;
            let tokens = longest(&found, contexts);
            if tokens <= room {
                kept = Some(found);
            }
            Ok(tokens)
        })?;
        let has_text = !is_blank(&without_middle(example, bytes));
        let Some(kept) = kept.filter(|_| has_text) else {
            return Err(self.no_room(record, contexts, bare, before.response));
        };
        let after = longest(&kept, contexts) + before.response;
        let (message, role) = loses_most(example, bytes);
        let (origin, before, role) = (record.origin.clone(), before.whole(), role.to_owned());
        Ok((kept, Shortened { origin, before, after, message, role }))
    }

    /// Why not one character fits beside the `bare` tokens of a prompt without text.
    fn no_room(
        &self,
        record: &Record,
        contexts: Contexts,
        bare: usize,
        response: usize,
    ) -> TokenizeError {
        let (origin, max_length) = (record.origin.clone(), self.max_length);
        let context_length = self.context_length;
        if response >= max_length {
            return TokenizeError::Response { origin, response, max_length, context_length };
        }
        let judgment = record.example.judgment.as_deref().filter(|_| contexts.judged);
        let judgment = match judgment.map(|text| self.encode.response(text)).transpose() {
            // The end is no part of it.
            Ok(ids) => ids.map_or(0, |ids| ids.len().saturating_sub(1)),
            Err(source) => return TokenizeError::encode(&origin, source),
        };
        let template = bare.saturating_sub(judgment);
        let parts = [
            (template, FixedPart::Template),
            (response, FixedPart::Response),
            (judgment, FixedPart::Judgment),
        ];
        let longest = parts.into_iter().max_by_key(|(tokens, _)| *tokens);
        let longest = longest.map_or(FixedPart::Template, |(_, part)| part);
        TokenizeError::Fixed {
            origin,
            longest,
            response,
            judgment,
            template,
            max_length,
            context_length,
        }
    }
}
