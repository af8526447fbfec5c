//! Records become token ids, within the length that training allows.

use clap::ValueEnum;
use cutq_core::context::{Contexts, PerContext};
use cutq_core::example::Example;
use cutq_core::group::Group;
use cutq_core::objective::Objective;
use cutq_core::prompts;
use cutq_core::template::{Piece, Template};
use serde::{Deserialize, Serialize};

use super::record::{Origin, Record};

/// What to do with an example that is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLong {
    /// Cut the middle out of the prompt's longest text, never the response
    Truncate,
    /// Leave the example out
    Drop,
    /// Stop and name the example
    Error,
}

/// What turns text into token ids.
pub trait Encode {
    /// Why text cannot be encoded.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The ids of a prompt. Data pieces never become special tokens.
    ///
    /// # Errors
    /// If the tokenizer fails.
    fn prompt(&self, pieces: &[Piece]) -> Result<Vec<u32>, Self::Error>;

    /// The ids of a response and of the token that ends it.
    ///
    /// # Errors
    /// If the tokenizer fails.
    fn response(&self, text: &str) -> Result<Vec<u32>, Self::Error>;
}

/// Counts of what tokenizing did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenizeReport {
    /// Examples with a shortened prompt.
    pub truncated: usize,
    /// Examples left out for their length.
    pub dropped: usize,
    /// The longest sequence, in tokens.
    pub longest: usize,
    /// Response tokens of all examples.
    pub response_tokens: usize,
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
    /// The template alone, without the data, leaves no room.
    #[error(
        "{origin}: {prompt} prompt tokens remain without any data and the response has {response}, \
         --max-length is {max_length}\nhint: raise --max-length (the model's context holds \
         {context_length}), or leave such examples out with --on-long drop"
    )]
    Template {
        /// Where it is.
        origin: Origin,
        /// Prompt tokens that cannot be cut.
        prompt: usize,
        /// Tokens of the response.
        response: usize,
        /// What is allowed.
        max_length: usize,
        /// What the model allows.
        context_length: usize,
    },
    /// A long example under [`OnLong::Error`].
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
    #[error("{origin}: the template cannot render this example")]
    Render {
        /// Where it is.
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
    #[error("all {dropped} examples are longer than --max-length {max_length}")]
    NothingLeft {
        /// How many were dropped.
        dropped: usize,
        /// What is allowed.
        max_length: usize,
    },
}

/// How records are tokenized.
pub struct Tokenize<'a, E, T, O> {
    /// The tokenizer.
    pub encode: &'a E,
    /// The template.
    pub template: &'a T,
    /// Decides which contexts are needed.
    pub objective: &'a O,
    /// Maximum tokens of a prompt and its response.
    pub max_length: usize,
    /// What the model itself allows, for messages.
    pub context_length: usize,
    /// What to do with longer examples.
    pub on_long: OnLong,
}

/// The prompts of one example as token ids.
type Encoded = PerContext<Option<Vec<u32>>>;

/// Tokens of the longest prompt among those that are read.
fn longest(prompts: &Encoded, contexts: Contexts) -> usize {
    let read = contexts.kinds().filter_map(|kind| prompts.get(kind).as_ref());
    read.map(Vec::len).max().unwrap_or(0)
}

impl<E, T, O> Tokenize<'_, E, T, O>
where
    E: Encode,
    T: Template,
    T::Error: std::error::Error + Send + Sync + 'static,
    O: Objective,
{
    /// One group per record that stays; a group's index is its record's.
    ///
    /// # Errors
    /// A record that cannot be rendered, encoded or made to fit; nothing left.
    pub fn all(&self, records: &[Record]) -> Result<(Vec<Group>, TokenizeReport), TokenizeError> {
        let mut report = TokenizeReport::default();
        let mut groups = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let Some(group) = self.group(record, index, &mut report)? else {
                report.dropped += 1;
                continue;
            };
            report.response_tokens += group.response.len();
            groups.push(group);
        }
        if groups.is_empty() {
            let (dropped, max_length) = (report.dropped, self.max_length);
            return Err(TokenizeError::NothingLeft { dropped, max_length });
        }
        Ok((groups, report))
    }

    /// The record's tokens; `None` if it is dropped.
    fn group(
        &self,
        record: &Record,
        index: usize,
        report: &mut TokenizeReport,
    ) -> Result<Option<Group>, TokenizeError> {
        let origin = &record.origin;
        let response = self.encode.response(&record.example.response);
        let response = response.map_err(|source| encode_error(origin, source))?;
        let contexts = self.objective.contexts(record.example.judgment.is_some());
        let mut example = record.example.clone();
        let mut prompts = self.prompts(&example, contexts, origin)?;
        let fits =
            |prompts: &Encoded| longest(prompts, contexts) + response.len() <= self.max_length;
        if !fits(&prompts) {
            match self.on_long {
                OnLong::Drop => return Ok(None),
                OnLong::Error => {
                    return Err(TokenizeError::Long {
                        origin: origin.clone(),
                        tokens: longest(&prompts, contexts) + response.len(),
                        max_length: self.max_length,
                    });
                }
                OnLong::Truncate => report.truncated += 1,
            }
        }
        while !fits(&prompts) {
            let prompt = longest(&prompts, contexts);
            if !self.shorten(&mut example, prompt, response.len()) {
                return Err(self.does_not_fit(origin, prompt, response.len()));
            }
            prompts = self.prompts(&example, contexts, origin)?;
        }
        report.longest = report.longest.max(longest(&prompts, contexts) + response.len());
        Ok(Some(Group { index, prompts, response, ends_with_eos: true }))
    }

    fn prompts(
        &self,
        example: &Example,
        contexts: Contexts,
        origin: &Origin,
    ) -> Result<Encoded, TokenizeError> {
        let prompts = prompts::render(example, self.template, contexts).map_err(|source| {
            TokenizeError::Render { origin: origin.clone(), source: source.into() }
        })?;
        let encode = |pieces: Vec<Piece>| {
            let ids = self.encode.prompt(&pieces);
            ids.map_err(|source| encode_error(origin, source))
        };
        prompts.try_map(|pieces| pieces.map(encode).transpose())
    }

    /// Cuts about as much out of the example's longest text as the prompt is too long; whether
    /// there was anything to cut. The text is cut rather than the ids, so that every context loses
    /// the same words and the template stays whole.
    fn shorten(&self, example: &mut Example, prompt: usize, response: usize) -> bool {
        let excess = prompt + response - self.max_length;
        let texts = example.messages.iter_mut().map(|message| &mut message.content);
        let Some(text) = texts.chain(&mut example.judgment).max_by_key(|text| text.len()) else {
            return false;
        };
        let chars: Vec<char> = text.chars().collect();
        // A token rarely has fewer than two characters; too small a cut only costs another round.
        let cut = (2 * excess).max(8).min(chars.len());
        if cut == 0 {
            return false;
        }
        let head = (chars.len() - cut) / 2;
        *text = chars[..head].iter().chain(&chars[head + cut..]).collect();
        true
    }

    fn does_not_fit(&self, origin: &Origin, prompt: usize, response: usize) -> TokenizeError {
        let (origin, max_length) = (origin.clone(), self.max_length);
        let context_length = self.context_length;
        if response >= max_length {
            return TokenizeError::Response { origin, response, max_length, context_length };
        }
        TokenizeError::Template { origin, prompt, response, max_length, context_length }
    }
}

fn encode_error(
    origin: &Origin,
    source: impl std::error::Error + Send + Sync + 'static,
) -> TokenizeError {
    TokenizeError::Encode { origin: origin.clone(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutq_core::objective::{Cut, Mle};
    use cutq_core::template::PaperTemplate;
    use std::convert::Infallible;
    use std::path::Path;

    /// One token per word.
    struct Words;

    impl Encode for Words {
        type Error = Infallible;

        fn prompt(&self, pieces: &[Piece]) -> Result<Vec<u32>, Infallible> {
            let text: String = pieces.iter().map(Piece::text).collect();
            Ok(text.split_whitespace().map(|word| word.len() as u32).collect())
        }

        fn response(&self, text: &str) -> Result<Vec<u32>, Infallible> {
            let ids = text.split_whitespace().map(|word| word.len() as u32);
            Ok(ids.chain([0]).collect())
        }
    }

    fn record(instruction: &str, response: &str, judgment: Option<&str>) -> Record {
        Record {
            example: Example::from_instruction(instruction, "", response, judgment),
            origin: Origin { file: Path::new("d.jsonl").into(), line: 7 },
        }
    }

    fn tokenize(
        records: Vec<Record>,
        objective: &impl Objective,
        max_length: usize,
        on_long: OnLong,
    ) -> Result<(Vec<Group>, TokenizeReport), String> {
        let tokenize = Tokenize {
            encode: &Words,
            template: &PaperTemplate,
            objective,
            max_length,
            context_length: 100,
            on_long,
        };
        tokenize.all(&records).map_err(|error| error.to_string())
    }

    #[test]
    fn a_long_prompt_loses_its_middle_in_every_context() {
        let instruction = format!("first {} last", "word ".repeat(200));
        let data = vec![record(&instruction, "one two", Some("Bad."))];
        let (groups, report) =
            tokenize(data, &Cut::paper(), 60, OnLong::Truncate).expect("fits once cut");
        let judged = groups[0].prompts.judged.as_ref().expect("has a judgment");
        assert_eq!(report.truncated, 1);
        assert!(judged.len() + 3 <= 60 && judged.len() + 3 > 50, "{}", judged.len());
        assert_eq!(groups[0].response, [3, 3, 0], "the response is never cut");
        // The template's words around the data: "### Instruction: first … last\n\n### Response:".
        assert_eq!(judged[23..25], [12, 5], "{judged:?}");
        let plain = groups[0].prompts.plain.as_ref().expect("is always there");
        assert_eq!(plain[plain.len() - 3..], [4, 3, 9]);
    }

    #[test]
    fn a_long_judgment_is_cut_too_but_only_where_it_is_read() {
        let data = vec![record("Add.", "one two", Some(&"no ".repeat(200)))];
        let (groups, report) =
            tokenize(data.clone(), &Cut::paper(), 60, OnLong::Truncate).expect("fits once cut");
        assert!(groups[0].prompts.judged.as_ref().expect("is there").len() <= 57);
        assert_eq!(report.truncated, 1);
        let (_, report) = tokenize(data, &Mle, 60, OnLong::Truncate).expect("fits as it is");
        assert_eq!(report.truncated, 0);
    }

    #[test]
    fn long_examples_can_be_dropped_or_refused() {
        let short = record("Add.", "one", None);
        let long = record("Add.", &"word ".repeat(200), None);
        let data = vec![long.clone(), short];
        let (groups, report) = tokenize(data.clone(), &Mle, 60, OnLong::Drop).expect("one is left");
        assert_eq!((groups.len(), groups[0].index, report.dropped), (1, 1, 1));
        let error = tokenize(data, &Mle, 60, OnLong::Error).expect_err("too long");
        assert!(error.starts_with("d.jsonl:7: the example has 222 tokens"), "{error}");
        let error = tokenize(vec![long], &Mle, 60, OnLong::Drop).expect_err("none is left");
        assert!(error.contains("all 1 examples"), "{error}");
    }

    #[test]
    fn a_response_that_cannot_fit_is_named_with_numbers() {
        let data = vec![record("Add.", &"word ".repeat(200), None)];
        let error = tokenize(data, &Mle, 60, OnLong::Truncate).expect_err("201 tokens");
        assert!(error.starts_with("d.jsonl:7: the response has 201 tokens"), "{error}");
        assert!(error.contains("--max-length is 60"), "{error}");
        let data = vec![record("Add.", &"word ".repeat(50), None)];
        let error = tokenize(data, &Mle, 60, OnLong::Truncate).expect_err("51 and the template");
        assert!(error.contains("20 prompt tokens remain"), "{error}");
    }
}
