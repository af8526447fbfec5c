//! One report of what became of data, for every command that reads some.

use std::fmt;

use serde::Serialize;

use super::read::Understood;
use super::screen::ScreenReport;
use super::tally::Tally;
use super::tokenize::TokenizeReport;

/// What was read, and what was done to it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Formats and fields.
    pub understood: Understood,
    /// Lines that could not be used.
    pub bad_lines: Tally,
    /// What was doubtful.
    pub screened: ScreenReport,
    /// What became of the length; only with a model.
    pub tokenized: Option<TokenizeReport>,
}

/// How a report is written.
pub struct View<'a> {
    /// What.
    pub report: &'a Report,
    /// Whether to show samples of everything that was changed or left out.
    pub samples: bool,
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { understood, bad_lines, screened, tokenized } = self.report;
        let formats = understood.formats.iter();
        let formats = join(formats.map(|(format, n)| format!("{n} {format}")));
        writeln!(f, "data: {} examples read ({formats})", screened.read)?;
        if !understood.unused.is_empty() {
            let unused = understood.unused.iter().map(|(name, n)| format!("{name} ({n})"));
            writeln!(f, "        fields not used: {} (--field)", join(unused))?;
        }
        self.tally(f, bad_lines, "bad lines left out (--skip-bad-lines)")?;
        count(f, understood.unsure, "answers left out of which the judge is unsure")?;
        count(f, understood.missing_quotes, "quotes that the response does not hold")?;
        self.tally(f, &screened.duplicates, "duplicates (--on-duplicate)")?;
        self.tally(f, &screened.failed_judge, "failed judge calls (--on-failed-judge)")?;
        self.tally(f, &screened.praise, "judgments that only praise (--on-praise)")?;
        self.tally(f, &screened.truncated, "truncated answers left out that nobody criticises")?;
        let surplus = screened.surplus_positives;
        count(f, surplus, "positives above the ratio left out (--positive-ratio)")?;
        if let Some(tokenized) = tokenized {
            self.tokenized(f, tokenized)?;
        }
        let (negatives, positives) = match tokenized {
            None => (screened.negatives, screened.positives),
            Some(tokenized) => (tokenized.negatives, tokenized.positives),
        };
        count(f, screened.quoting, "judgments that quote what is wrong (--spans)")?;
        write!(f, "  {negatives:5} negatives and {positives} positives to use")?;
        let Some(TokenizeReport { response_tokens, longest, longest_at, .. }) = tokenized else {
            return Ok(());
        };
        write!(f, ": {response_tokens} response tokens, the longest sequence has {longest}")?;
        match longest_at.as_ref().filter(|_| self.samples) {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

impl View<'_> {
    fn tally(&self, f: &mut fmt::Formatter<'_>, tally: &Tally, what: &str) -> fmt::Result {
        count(f, tally.count, what)?;
        for sample in tally.samples.iter().filter(|_| self.samples) {
            writeln!(f, "          {}: {}", sample.origin, sample.text)?;
        }
        Ok(())
    }

    /// What became of the length.
    fn tokenized(&self, f: &mut fmt::Formatter<'_>, tokenized: &TokenizeReport) -> fmt::Result {
        let TokenizeReport { truncated, cut_tokens, most_cut_tokens, .. } = tokenized;
        let shortened = format!(
            "prompts shortened, by {cut_tokens} tokens in all and {most_cut_tokens} at most \
             (--max-length, --on-long)"
        );
        count(f, *truncated, &shortened)?;
        for sample in tokenized.samples.iter().filter(|_| self.samples) {
            writeln!(f, "          {sample}")?;
        }
        count(f, tokenized.dropped, "examples too long left out (--max-length, --on-long)")?;
        let refused = tokenized.refused.len();
        count(f, refused, "examples that the template cannot render left out (--skip-bad-lines)")?;
        let unplaced = "examples whose quotes have no place among their tokens";
        self.tally(f, &tokenized.unplaced_quotes, unplaced)?;
        self.tally(
            f,
            &tokenized.control_texts,
            "examples with texts like <|im_end|>, which stay text",
        )
    }
}

fn count(f: &mut fmt::Formatter<'_>, count: usize, what: &str) -> fmt::Result {
    match count {
        0 => Ok(()),
        _ => writeln!(f, "  {count:5} {what}"),
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
