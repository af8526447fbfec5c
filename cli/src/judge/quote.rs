//! What a judgment quotes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::data::occurrences;

/// A place in the response that a judgment is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// What stands there.
    pub text: String,
    /// Its first character, counted in Unicode scalar values of the response.
    pub start: usize,
    /// The character behind its last.
    pub end: usize,
}

impl Quote {
    /// The quote of these bytes of a response.
    pub fn of_bytes(range: Range<usize>, response: &str) -> Self {
        let characters = |end: usize| response[..end].chars().count();
        Self {
            text: response[range.clone()].to_owned(),
            start: characters(range.start),
            end: characters(range.end),
        }
    }
}

/// A quote as a judge gives it: with or without the place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What the response is said to hold.
    pub text: String,
    /// Its first character.
    #[serde(default)]
    pub start: Option<usize>,
    /// The character behind its last.
    #[serde(default)]
    pub end: Option<usize>,
}

impl Claim {
    /// A text without a place.
    pub fn of_text(text: String) -> Self {
        Self { text, start: None, end: None }
    }

    /// Where it stands in the response: at its place if it does stand there, else wherever it does as
    /// whole words; nowhere if it is made up.
    pub fn find(&self, response: &str) -> Vec<Quote> {
        let place = self.start.zip(self.end).map(|(start, end)| {
            let text: String =
                response.chars().skip(start).take(end.saturating_sub(start)).collect();
            Quote { text, start, end }
        });
        match place.filter(|quote| !quote.text.is_empty() && quote.text == self.text) {
            Some(quote) => vec![quote],
            None => occurrences(self.text.trim(), response)
                .into_iter()
                .map(|range| Quote::of_bytes(range, response))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_believed_where_it_is_true() {
        let response = "Größe und Größe";
        let places = |text: &str, place: Option<(usize, usize)>| {
            let (start, end) = place.unzip();
            let found = Claim { text: text.to_owned(), start, end }.find(response);
            found.iter().map(|quote| (quote.start, quote.end)).collect::<Vec<_>>()
        };
        assert_eq!(places("Größe", Some((10, 15))), [(10, 15)]);
        assert_eq!(places("Größe", Some((9, 14))), [(0, 5), (10, 15)], "a place that is wrong");
        assert_eq!(places(" Größe ", None), [(0, 5), (10, 15)]);
        assert_eq!(places("Größ", None), []);
        assert_eq!(places("klein", Some((0, 5))), []);
        assert_eq!(places("", Some((3, 3))), []);
    }
}
