//! What a person has written about an answer.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::judge::judgment::Verdict;
use crate::judge::quote::Quote;
use crate::judge::reading;

/// Criticism with what it quotes, saved or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What is wrong.
    pub judgment: String,
    /// Places of the answer that it is about.
    pub quotes: Vec<Quote>,
}

/// Why something is not saved, or not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no text and no quote.
    #[error("nothing is written yet: g says that the answer is good, s skips it")]
    Empty,
    /// There are only quotes.
    #[error("say in a few words what is wrong with what you quote")]
    OnlyQuotes,
    /// It would be read as praise, and the answer as a good one.
    #[error(
        "not saved: this reads as praise. g says that the answer is good; else say what is wrong"
    )]
    Praise,
    /// It would be read as the trace of a call that failed.
    #[error("not saved: this does not say what is wrong")]
    NoJudgment,
    /// Good, while there is criticism.
    #[error("not saved: there is criticism. Enter saves it; for a good answer remove it first")]
    GoodWithCriticism,
    /// The answer does not hold what is quoted.
    #[error("not saved: the answer does not hold what is quoted")]
    Misquote,
    /// Nothing was done before.
    #[error("there is nothing to undo")]
    NothingDone,
    /// No answer is shown, or one still is.
    #[error("this key has no meaning here")]
    NotHere,
}

/// What a saved line says.
#[derive(Deserialize)]
struct Line {
    judgment: Option<String>,
    #[serde(default)]
    quotes: Vec<Quote>,
}

impl Draft {
    /// The line that says that an answer is good.
    pub fn good() -> String {
        json!({"judgment": null, "quotes": []}).to_string()
    }

    /// What a reply says that was saved before; nothing of a good answer.
    pub fn of_reply(text: &str) -> Option<Self> {
        let Line { judgment, quotes } = serde_json::from_str(text).ok()?;
        Some(Self { judgment: judgment?, quotes })
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.judgment.trim().is_empty() && self.quotes.is_empty()
    }

    /// Whether `response` holds what is quoted.
    pub fn fits(&self, response: &str) -> bool {
        let characters: Vec<char> = response.chars().collect();
        let holds = |Quote { text, start, end }: &Quote| {
            !text.trim().is_empty()
                && characters
                    .get(*start..*end)
                    .is_some_and(|found| text.chars().eq(found.iter().copied()))
        };
        self.quotes.iter().all(holds)
    }

    /// The line to save: criticism of `response`, and nothing that is read as anything else.
    ///
    /// # Errors
    /// Why it is not saved.
    pub fn line(&self, response: &str) -> Result<String, Refusal> {
        if !self.fits(response) {
            return Err(Refusal::Misquote);
        }
        let judgment = self.judgment.trim();
        match (judgment.is_empty(), self.quotes.is_empty()) {
            (true, true) => return Err(Refusal::Empty),
            (true, false) => return Err(Refusal::OnlyQuotes),
            (false, _) => {}
        }
        let line = json!({"judgment": judgment, "quotes": self.quotes}).to_string();
        match reading::read(&line, response).map(|judgment| judgment.verdict) {
            Ok(Verdict::Fault) => Ok(line),
            Ok(Verdict::Perfect | Verdict::Praise | Verdict::Unsure) => Err(Refusal::Praise),
            Err(_) => Err(Refusal::NoJudgment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(judgment: &str, quotes: &[(&str, usize, usize)]) -> Draft {
        let quote =
            |&(text, start, end): &(&str, usize, usize)| Quote { text: text.into(), start, end };
        Draft { judgment: judgment.to_owned(), quotes: quotes.iter().map(quote).collect() }
    }

    #[test]
    fn what_is_saved_is_criticism_or_nothing() {
        let response = "Bees 🐝 make honey.";
        for (judgment, quotes, expected) in [
            ("", &[][..], Refusal::Empty),
            (" \n", &[], Refusal::Empty),
            ("", &[("🐝", 5, 6)], Refusal::OnlyQuotes),
            ("Great.", &[], Refusal::Praise),
            ("perfect", &[], Refusal::Praise),
            ("Great.", &[("🐝", 5, 6)], Refusal::Praise),
            ("n/a", &[], Refusal::NoJudgment),
            ("Wrong.", &[("🐝", 6, 7)], Refusal::Misquote),
            ("Wrong.", &[("honey", 90, 95)], Refusal::Misquote),
            ("Wrong.", &[("honey", 17, 12)], Refusal::Misquote),
            ("Wrong.", &[(" ", 4, 5)], Refusal::Misquote),
        ] {
            assert_eq!(draft(judgment, quotes).line(response), Err(expected), "{judgment:?}");
        }
        let saved = draft(" No emoji. ", &[("🐝 make", 5, 11)]).line(response).expect("criticism");
        assert_eq!(
            saved,
            r#"{"judgment":"No emoji.","quotes":[{"text":"🐝 make","start":5,"end":11}]}"#
        );
        let found = reading::read(&saved, response).expect("reads");
        assert_eq!((found.verdict, found.quotes.len()), (Verdict::Fault, 1));
        assert_eq!(Draft::of_reply(&saved), Some(draft("No emoji.", &[("🐝 make", 5, 11)])));
    }

    #[test]
    fn a_good_answer_is_read_as_perfect() {
        let found = reading::read(&Draft::good(), "x").expect("reads");
        assert_eq!((found.verdict, found.text), (Verdict::Perfect, None));
        assert_eq!(Draft::of_reply(&Draft::good()), None);
    }
}
