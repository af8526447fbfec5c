//! What a judgment quotes of the response that it is about, as byte ranges of the response.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::problem::{Problem, kind};

/// Characters that a quote within a judgment has at least: "a" stands for the letter, not for each
/// of its occurrences.
const SHORTEST: usize = 3;

/// What stands between quotation marks. A single straight one is an apostrophe, too: it opens before
/// a word and closes after one.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"(?x) "([^"\n]+)" | “([^”\n]+)” | „([^“”\n]+)[“”] | «([^»\n]+)» | ‘([^’\n]+)’
        | `([^`\n]+)` | (?:^|[\s(\[])'([^'\n]+)'"#;
    constant(pattern)
});

/// The end of a sentence.
static SENTENCE: LazyLock<Regex> = LazyLock::new(|| constant(r"[.!?]\s"));

/// What turns from what is wanted to what is there.
static TURN: LazyLock<Regex> =
    LazyLock::new(|| constant(r"(?i)\b(?:but|however|not|instead of|rather than)\b"));

/// What comes before words that the judge would rather read.
static WANTED: LazyLock<Regex> = LazyLock::new(|| {
    constant(r"(?i)\b(?:should|ought|could|would|might|must|correct|better|improved|supposed)\b")
});

/// A quote in a field of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quote {
    text: String,
    /// Characters of the response, counted from 0.
    start: Option<usize>,
    end: Option<usize>,
}

fn constant(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// The quotes of a field `quotes`, and how many of them the response does not hold.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub ranges: Vec<Range<usize>>,
    pub missing: usize,
}

/// Reads a field `quotes`: a list of `{"text", "start", "end"}`, where offsets count characters. A
/// quote without them stands for each of its occurrences.
///
/// # Errors
/// What is no such list; offsets at which something else stands.
pub(super) fn read(value: Value, response: &str) -> Result<Found, Problem> {
    let what = kind(&value);
    let quotes: Vec<Quote> = serde_json::from_value(value).map_err(|_| Problem::WrongKind {
        field: "quotes".to_owned(),
        expected: "a list of {\"text\", \"start\", \"end\"}",
        found: if what == "an array" { "another list" } else { what },
    })?;
    let mut found = Found::default();
    for Quote { text, start, end } in quotes {
        let ranges = match (start, end) {
            (None, None) => occurrences(&text, response),
            (Some(start), Some(end)) => vec![at(&text, start..end, response)?],
            _ => return Err(Problem::HalfQuote { text }),
        };
        found.missing += usize::from(ranges.is_empty());
        found.ranges.extend(ranges);
    }
    Ok(found)
}

/// The bytes of the characters `place`, at which `text` stands.
fn at(text: &str, place: Range<usize>, response: &str) -> Result<Range<usize>, Problem> {
    let byte = |character| {
        let mut bytes = response.char_indices().map(|(at, _)| at).chain([response.len()]);
        bytes.nth(character)
    };
    let range = byte(place.start).zip(byte(place.end)).map(|(start, end)| start..end);
    let stands =
        |range: &Range<usize>| !text.is_empty() && response.get(range.clone()) == Some(text);
    range.filter(stands).ok_or_else(|| Problem::Misquote {
        text: text.to_owned(),
        start: place.start,
        end: place.end,
    })
}

/// What `judgment` puts between quotation marks and the response holds, but for what it says should
/// stand there: `not "4", it should be "5"`.
pub fn within(judgment: &str, response: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut end, mut is_wanted) = (0, false);
    for quoted in QUOTED.captures_iter(judgment) {
        let whole = quoted.get(0).expect("the match");
        is_wanted = introduces_correction(&judgment[end..whole.start()], is_wanted);
        end = whole.end();
        if is_wanted {
            continue;
        }
        let quote = quoted.iter().skip(1).flatten().next().expect("one of the groups").as_str();
        let quote = quote.trim();
        // A sentence's own mark is often put before the closing quotation mark.
        let bare = quote.trim_end_matches(['.', ',', ';', ':', '!', '?', '…']);
        for quote in [quote, bare] {
            let found = match quote.chars().count() >= SHORTEST {
                true => occurrences(quote, response),
                false => Vec::new(),
            };
            if !found.is_empty() {
                ranges.extend(found);
                break;
            }
        }
    }
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges.dedup();
    ranges
}

/// Whether a quote behind `words`, which follow another quote, is what the judge wants to read;
/// `before` is what the other one was, and holds for a list of them.
fn introduces_correction(words: &str, before: bool) -> bool {
    let listed = words.trim_matches(|c: char| c.is_whitespace() || c == ',');
    if matches!(listed, "" | "and" | "or") {
        return before;
    }
    let sentence = SENTENCE.split(words).last().unwrap_or_default();
    WANTED.is_match(TURN.split(sentence).last().unwrap_or_default())
}

/// Where `quote` stands in `response` as whole words.
pub fn occurrences(quote: &str, response: &str) -> Vec<Range<usize>> {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let begins = is_word(quote.chars().next());
    let ends = is_word(quote.chars().next_back());
    let whole = |range: &Range<usize>| {
        let before = response[..range.start].chars().next_back();
        let after = response[range.end..].chars().next();
        !(begins && is_word(before) || ends && is_word(after))
    };
    if quote.is_empty() {
        return Vec::new();
    }
    let found = response.match_indices(quote).map(|(at, _)| at..at + quote.len());
    found.filter(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The text of each range.
    fn texts<'a>(ranges: &[Range<usize>], response: &'a str) -> Vec<&'a str> {
        ranges.iter().map(|range| &response[range.clone()]).collect()
    }

    #[test]
    fn whole_words_are_found_wherever_they_stand() {
        let response = "I think. Thinking is what I do: I’m ill.";
        assert_eq!(occurrences("I", response), [0..1, 26..27, 32..33]);
        assert_eq!(texts(&occurrences("think", response), response), ["think"]);
        assert_eq!(occurrences("ill.", response).len(), 1);
        assert!(occurrences("", response).is_empty());
    }

    #[test]
    fn a_judgment_quotes_in_many_ways() {
        let response = "Bees make honey from tree bark, and it's sweet. The end.";
        for judgment in [
            r#"Not "tree bark"."#,
            "“tree bark?” is wrong",
            "„tree bark“ ist falsch",
            "« tree bark » est faux",
            "It says ‘tree bark’ there.",
            "`tree bark`?",
            "'tree bark' is not a flower's nectar",
        ] {
            assert_eq!(texts(&within(judgment, response), response), ["tree bark"], "{judgment}");
        }
        for judgment in
            ["tree bark is wrong", r#"not "tree""#, r#"say "nectar""#, r#""a" is short"#]
        {
            let expected: &[&str] = if judgment.contains("\"tree\"") { &["tree"] } else { &[] };
            assert_eq!(texts(&within(judgment, response), response), expected, "{judgment}");
        }
        let two = within(r#""The end." and "honey" are odd, "honey" most"#, response);
        assert_eq!(texts(&two, response), ["honey", "The end."]);
    }

    #[test]
    fn a_field_counts_characters_and_is_checked() {
        let response = "Größe: 3 €, 3 kg";
        let value = json!([{"text": "€", "start": 9, "end": 10}, {"text": "3"}, {"text": "nie"}]);
        let found = read(value, response).expect("good quotes");
        assert_eq!((texts(&found.ranges, response), found.missing), (vec!["€", "3", "3"], 1));
        for (value, expected) in [
            (json!([{"text": "€", "start": 8, "end": 9}]), "\"€\""),
            (json!([{"text": "€", "start": 90, "end": 91}]), "90"),
            (json!([{"text": "", "start": 2, "end": 2}]), "\"\""),
            (json!([{"text": "€", "start": 9}]), "`start` and `end`"),
            (json!("€"), "a string"),
            (json!(["€"]), "another list"),
        ] {
            let problem = read(value.clone(), response).expect_err("refused").to_string();
            assert!(problem.contains(expected), "{value}: {problem}");
        }
    }

    #[test]
    fn what_a_judge_would_rather_read_is_no_fault() {
        let response = "4 or five: Paris, Lyon, and Rome. Sure! It is Bern.";
        for (judgment, expected) in [
            (r#"Not "Lyon"."#, &["Lyon"][..]),
            (r#"It should be "Bern", not "Rome"."#, &["Rome"]),
            (r#"It should be "Bern" instead of "Rome"."#, &["Rome"]),
            (r#"It should only be "Bern"."#, &[]),
            (r#"A better answer: "Paris", "Lyon" or "Rome"."#, &[]),
            (r#"It says "Paris", "Lyon" and "Rome"."#, &["Paris", "Lyon", "Rome"]),
            (r#""Lyon" should be "Bern"."#, &["Lyon"]),
            (r#"It should be short. "Sure!" is not needed."#, &["Sure!"]),
            (r#"It should not say "Sure"."#, &["Sure"]),
            (r#"The answer is correct, but "Sure!" is not needed."#, &["Sure!"]),
        ] {
            assert_eq!(texts(&within(judgment, response), response), expected, "{judgment}");
        }
    }
}
