//! Records become token ids, within the length that training allows.

mod error;
mod middle;
#[cfg(test)]
mod properties;
mod quoted;
mod report;
#[cfg(test)]
mod scripts;
mod search;
mod shorten;

use clap::ValueEnum;
use cutq_core::context::{Contexts, PerContext};
use cutq_core::example::Example;
use cutq_core::group::Group;
use cutq_core::objective::Objective;
use cutq_core::prompts;
use cutq_core::template::{Piece, Template};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

pub use self::error::TokenizeError;
use self::middle::{lengths, without_middle};
pub use self::report::{Refused, Shortened, TokenizeReport};
use self::shorten::Tokens;
use super::record::{Origin, Record};

/// What to do with an example that is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLong {
    /// Cut the middle out of the prompt's longest texts, never response or judgment
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

    /// The bytes that a token of a response stands for.
    fn piece(&self, token: u32) -> Vec<u8>;

    /// Whether a text holds what looks like a special token. It stays text, but may not be meant so.
    fn has_control_text(&self, _text: &str) -> bool {
        false
    }
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
    /// Leave out what the template cannot render, and list it.
    pub skip_refused: bool,
}

/// The prompts of one example as token ids.
type Encoded = PerContext<Option<Vec<u32>>>;

/// Bytes of text up to which an example is tokenized whole before it is cut.
const WHOLE: usize = 256 << 10;

/// Bytes of text per token that only blanks and the like reach.
const MANY_BYTES: usize = 64;

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
    /// One group per record that stays; a group's index is its record's. `bar` counts the records.
    ///
    /// # Errors
    /// A record that cannot be rendered, encoded or made to fit; nothing left.
    pub fn all(
        &self,
        records: &[Record],
        bar: &ProgressBar,
    ) -> Result<(Vec<Group>, TokenizeReport), TokenizeError> {
        let mut report = TokenizeReport::default();
        let mut groups = Vec::new();
        let mut refusal = None;
        for (index, record) in records.iter().enumerate() {
            bar.inc(1);
            match self.group(record, index, &mut report) {
                Ok(Some(group)) => {
                    self.note_control_text(record, &mut report);
                    report.add_group(&group);
                    groups.push(group);
                }
                Ok(None) => report.dropped += 1,
                Err(TokenizeError::Render { origin, source }) if self.skip_refused => {
                    let reason = source.to_string();
                    report.refused.push(Refused { origin: origin.clone(), reason });
                    refusal.get_or_insert(TokenizeError::RendersNone { origin, source });
                }
                Err(error) => return Err(error),
            }
        }
        match (groups.is_empty(), report.dropped, refusal) {
            (false, _, _) => Ok((groups, report)),
            (true, 0, Some(first)) => Err(first),
            (true, dropped, _) => Err(TokenizeError::NothingLeft {
                dropped,
                refused: report.refused.len(),
                max_length: self.max_length,
            }),
        }
    }

    fn note_control_text(&self, record: &Record, report: &mut TokenizeReport) {
        let Example { messages, response, judgment, .. } = &record.example;
        let texts = messages.iter().map(|message| &message.content);
        let mut texts = texts.chain([response]).chain(judgment);
        if let Some(text) = texts.find(|text| self.encode.has_control_text(text)) {
            report.control_texts.add(&record.origin, text);
        }
    }

    /// The record's tokens; `None` if it is dropped.
    fn group(
        &self,
        record: &Record,
        index: usize,
        report: &mut TokenizeReport,
    ) -> Result<Option<Group>, TokenizeError> {
        let Record { example, origin } = record;
        let response = self.encode.response(&example.response);
        let mut response = response.map_err(|source| TokenizeError::encode(origin, source))?;
        if example.truncated {
            response.pop();
        }
        let contexts = self.objective.contexts(example.judgment.is_some());
        let (mut prompts, tokens) = self.first_look(record, contexts, response.len())?;
        let mut length = tokens.sum();
        if length > self.max_length {
            match self.on_long {
                OnLong::Drop => return Ok(None),
                OnLong::Error => {
                    let (origin, max_length) = (origin.clone(), self.max_length);
                    return Err(TokenizeError::Long { origin, tokens: tokens.whole(), max_length });
                }
                OnLong::Truncate => {
                    let (shorter, shortened) = self.shorten(record, contexts, &tokens)?;
                    (prompts, length) = (shorter, shortened.after);
                    report.add_shortened(shortened);
                }
            }
        }
        if length > report.longest {
            report.longest = length;
            report.longest_at = Some(origin.to_string());
        }
        let quoted = self.quoted(record, &response, report);
        let ends_with_eos = !example.truncated;
        Ok(Some(Group { index, prompts, response, ends_with_eos, quoted }))
    }

    /// Which tokens of the response its judgment quotes; none without quotes, or where the tokens do
    /// not spell the response.
    fn quoted(
        &self,
        Record { example, origin }: &Record,
        response: &[u32],
        report: &mut TokenizeReport,
    ) -> Option<Vec<bool>> {
        if example.quotes.is_empty() {
            return None;
        }
        let mut pieces: Vec<_> = response.iter().map(|&token| self.encode.piece(token)).collect();
        if let (false, Some(end)) = (example.truncated, pieces.last_mut()) {
            end.clear();
        }
        let quoted = quoted::tokens(&example.response, &pieces, &example.quotes);
        match &quoted {
            Some(quoted) => report.quoted_tokens += quoted.iter().filter(|is| **is).count(),
            None => report.unplaced_quotes.add(origin, &example.response),
        }
        quoted
    }

    /// The prompts with all of the text or, where there is very much of it, with so much of its ends
    /// that they are too long.
    fn first_look(
        &self,
        record: &Record,
        contexts: Contexts,
        response: usize,
    ) -> Result<(Encoded, Tokens), TokenizeError> {
        let all_bytes: usize = lengths(&record.example).iter().sum();
        let much = if all_bytes > WHOLE { MANY_BYTES * self.max_length } else { all_bytes };
        let mut bytes = all_bytes.min(much);
        loop {
            let example = without_middle(&record.example, bytes);
            let prompts = self.prompts(&example, contexts, &record.origin)?;
            let prompt = longest(&prompts, contexts);
            let tokens = Tokens { prompt, response, bytes, all_bytes };
            if bytes == all_bytes || tokens.sum() > self.max_length {
                return Ok((prompts, tokens));
            }
            bytes = all_bytes.min(4 * bytes);
        }
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
            ids.map_err(|source| TokenizeError::encode(origin, source))
        };
        prompts.try_map(|pieces| pieces.map(encode).transpose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutq_core::example::Message;
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

        /// Of a text of the letter x.
        fn piece(&self, token: u32) -> Vec<u8> {
            vec![b'x'; token as usize]
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
            skip_refused: false,
        };
        tokenize.all(&records, &ProgressBar::hidden()).map_err(|error| error.to_string())
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
    fn a_judgment_is_never_cut_and_counts_only_where_it_is_read() {
        let judgment = "no ".repeat(200);
        let data = vec![record("Add.", "one two", Some(&judgment))];
        let error =
            tokenize(data.clone(), &Cut::paper(), 60, OnLong::Truncate).expect_err("200 words");
        assert!(error.starts_with("d.jsonl:7: the judgment is too long: the response has 3 "));
        assert!(error.contains("the judgment 200, the template 28"), "{error}");
        let (_, report) = tokenize(data, &Mle, 60, OnLong::Truncate).expect("fits as it is");
        assert_eq!(report.truncated, 0);
        let data = vec![record(&"word ".repeat(200), "one", Some("no no no"))];
        let (groups, _) = tokenize(data, &Cut::paper(), 60, OnLong::Truncate).expect("fits");
        let judged = groups[0].prompts.judged.as_ref().expect("has a judgment");
        assert_eq!(judged[judged.len() - 5..], [2, 2, 2, 3, 9], "{judged:?}");
    }

    #[test]
    fn long_examples_can_be_dropped_or_refused() {
        let short = record("Add.", "one", None);
        let long = record("Add.", &"word ".repeat(200), None);
        let data = vec![long.clone(), short];
        let (groups, report) = tokenize(data.clone(), &Mle, 60, OnLong::Drop).expect("one is left");
        assert_eq!((groups.len(), groups[0].index, report.dropped), (1, 1, 1));
        assert_eq!((report.negatives, report.positives), (0, 1));
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
        assert!(error.contains("the response has 51 tokens"), "{error}");
        assert!(error.contains("the template 20"), "{error}");
    }

    #[test]
    fn the_longest_message_is_cut_to_the_length_of_the_next_and_the_report_says_so() {
        let turns = [("system", 9), ("user", 300), ("assistant", 60), ("user", 20)];
        let turns = turns.map(|(role, words)| Message::new(role, "a ".repeat(words)));
        let example = Example::from_messages(turns.to_vec(), "one", None);
        let origin = record("", "", None).origin;
        let data = vec![Record { example, origin: origin.clone() }];
        let (groups, report) = tokenize(data, &Mle, 120, OnLong::Truncate).expect("fits once cut");
        let plain = groups[0].prompts.plain.as_ref().expect("is always there");
        assert_eq!(plain.len(), 118, "beside the response and its end");
        // 389 words of text and 20 of the template before, 98 after: 9, 35, 34 and 20.
        let role = "user".to_owned();
        let shortened = Shortened { origin, before: 411, after: 120, message: 1, role };
        assert_eq!((report.truncated, report.cut_tokens, report.most_cut_tokens), (1, 291, 291));
        assert_eq!(report.samples, [shortened]);
    }

    #[test]
    fn very_long_texts_of_few_tokens_are_known_to_fit() {
        let words = |count| vec!["w".repeat(20_000); count].join(" ");
        let fits = vec![record(&words(30), "one", None)];
        let (groups, report) = tokenize(fits, &Mle, 60, OnLong::Error).expect("fits");
        assert_eq!((report.truncated, report.longest), (0, 52));
        assert_eq!(groups[0].prompts.plain.as_ref().map(Vec::len), Some(50));
        let long = vec![record(&words(50), "one", None)];
        let (_, report) = tokenize(long, &Mle, 60, OnLong::Truncate).expect("fits once cut");
        assert_eq!((report.truncated, report.longest), (1, 60));
    }

    #[test]
    fn quotes_are_marked_and_a_truncated_response_has_no_end() {
        let mut quoting = record("Add.", "xxx", Some("Bad."));
        quoting.example.quotes.push(0..3);
        let mut cut = quoting.clone();
        cut.example.truncated = true;
        let mut odd = record("Add.", "xx yy", Some("Bad."));
        odd.example.quotes.push(0..2);
        let data = vec![quoting, cut, odd, record("Add.", "xxx", None)];
        let (groups, report) =
            tokenize(data, &Cut::paper(), 60, OnLong::Error).expect("all of them");
        let of = |i: usize| (groups[i].response.len(), groups[i].ends_with_eos, &groups[i].quoted);
        assert_eq!(of(0), (2, true, &Some(vec![true, false])));
        assert_eq!(of(1), (1, false, &Some(vec![true])));
        assert_eq!(of(2), (3, true, &None), "its tokens do not spell it");
        assert_eq!(of(3), (2, true, &None));
        assert_eq!((report.quoted_tokens, report.unplaced_quotes.count), (2, 1));
    }

    /// Takes no text that is blank or begins with "no".
    struct Picky;

    impl Template for Picky {
        type Error = std::fmt::Error;

        fn prompt(&self, example: &Example, _: Option<&str>) -> Result<Vec<Piece>, Self::Error> {
            let text = example.instruction();
            let refused = text.is_empty() || text.starts_with("no");
            (!refused).then(|| vec![Piece::Data(text)]).ok_or(std::fmt::Error)
        }
    }

    fn tokenize_picky(
        instructions: &[&str],
        skip_refused: bool,
    ) -> Result<(Vec<Group>, TokenizeReport), TokenizeError> {
        let tokenize = Tokenize {
            encode: &Words,
            template: &Picky,
            objective: &Mle,
            max_length: 5,
            context_length: 100,
            on_long: OnLong::Truncate,
            skip_refused,
        };
        let records = instructions.iter().map(|text| record(text, "one", None));
        tokenize.all(&records.collect::<Vec<_>>(), &ProgressBar::hidden())
    }

    #[test]
    fn what_the_template_refuses_stops_the_run_or_is_listed() {
        let error = tokenize_picky(&["yes", "no"], false).expect_err("one is refused");
        assert!(error.to_string().contains("hint: --skip-bad-lines"), "{error}");
        let (groups, report) = tokenize_picky(&["no", "yes"], true).expect("one is left");
        assert_eq!((groups.len(), groups[0].index), (1, 1));
        let reason = std::fmt::Error.to_string();
        assert_eq!(report.refused.len(), 1);
        assert_eq!(report.refused[0].to_string(), format!("d.jsonl:7: {reason}"));
        let error = tokenize_picky(&["no", "no"], true).expect_err("none is left");
        assert!(matches!(error, TokenizeError::RendersNone { .. }), "{error}");
    }

    #[test]
    fn a_template_that_takes_no_empty_message_gets_a_short_one() {
        let (groups, report) = tokenize_picky(&[&"word ".repeat(30)], true).expect("fits once cut");
        assert_eq!((groups[0].n_tokens(Contexts::PLAIN), report.longest), (5, 5));
        let long = ["word"; 30].join(" ");
        let error = tokenize_picky(&["no", &long], false).expect_err("one is refused");
        assert!(matches!(error, TokenizeError::Render { .. }), "{error}");
    }
}
