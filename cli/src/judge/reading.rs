//! From the text of a reply to a judgment.
//!
//! A reply is a JSON object, alone or somewhere in the text, or else plain words:
//!
//! ```text
//! {"judgment": "what is wrong" or null, "faults": [{"quote": "…", "what": "…"}],
//!  "quotes": [{"text": "…", "start": 3, "end": 9}]}
//! ```
//!
//! Whether words praise or criticise is decided as for any data, see `data`. Praise beside faults is a
//! contradiction: the verdict is unsure.

use serde::Deserialize;
use serde_json::Value;

use super::judgment::{Judgment, Verdict};
use super::quote::{Claim, Quote};
use super::reply::Outcome;
use crate::data::{self, within};

/// What a judge is asked to write.
#[derive(Debug, Deserialize)]
struct Structured {
    #[serde(deserialize_with = "Option::deserialize")]
    judgment: Option<String>,
    #[serde(default)]
    faults: Vec<Fault>,
    #[serde(default)]
    quotes: Vec<Claim>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    #[serde(default)]
    quote: Option<String>,
    #[serde(default)]
    what: String,
}

/// The judgment that `text` makes of `response`.
///
/// # Errors
/// What became of the call instead, if the text is none.
pub fn read(text: &str, response: &str) -> Result<Judgment, Outcome> {
    let text = without_thoughts(text.trim()).ok_or(Outcome::Unparsable)?;
    if text.is_empty() {
        return Err(Outcome::Empty);
    }
    match object(text) {
        Some(value) => {
            let structured = Structured::deserialize(value).map_err(|_| Outcome::Unparsable)?;
            structured.judgment(response)
        }
        // The beginning of an object is no plain text.
        None if text.starts_with(['{', '[']) || text.starts_with("```") => Err(Outcome::Unparsable),
        None => {
            let verdict = verdict(text)?;
            let claims = Vec::new();
            Ok(judgment(verdict, Some(text.to_owned()), claims, response))
        }
    }
}

/// The judgment of a judge that ends it with its decision; unsure where the words say something else.
///
/// # Errors
/// As [`read`].
pub fn read_decided(text: &str, response: &str) -> Result<Judgment, Outcome> {
    let (words, is_perfect) = data::decision(text).ok_or(Outcome::Unparsable)?;
    let judgment = read(words, response)?;
    Ok(match judgment.verdict.passes() == Some(is_perfect) {
        true => judgment,
        false => Judgment { verdict: Verdict::Unsure, ..judgment },
    })
}

/// What follows the thoughts that some models write first; nothing if they do not end.
fn without_thoughts(text: &str) -> Option<&str> {
    match text.strip_prefix("<think>") {
        Some(thoughts) => thoughts.split_once("</think>").map(|(_, rest)| rest.trim()),
        None => Some(text),
    }
}

/// The JSON object that a text is or holds, such as one between fences, if it is one of a judgment.
fn object(text: &str) -> Option<Value> {
    let candidates =
        [Some(text), text.find('{').zip(text.rfind('}')).and_then(|(a, z)| text.get(a..=z))];
    let parse = |text| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let mut found = candidates.into_iter().flatten().filter_map(parse);
    found.find(|value| value.get("judgment").is_some() || value.get("faults").is_some())
}

/// What plain words mean.
fn verdict(text: &str) -> Result<Verdict, Outcome> {
    let bare = text.trim_matches(|c: char| !c.is_alphanumeric());
    if bare.eq_ignore_ascii_case("perfect") {
        return Ok(Verdict::Perfect);
    }
    match data::Said::of(text) {
        data::Said::Criticism => Ok(Verdict::Fault),
        data::Said::Praise => Ok(Verdict::Praise),
        data::Said::FailedCall => Err(Outcome::Refusal),
    }
}

impl Structured {
    fn judgment(self, response: &str) -> Result<Judgment, Outcome> {
        let words = self.judgment.as_deref().map(str::trim);
        let said = match words {
            None => Verdict::Perfect,
            Some("") if self.faults.is_empty() => return Err(Outcome::Empty),
            Some("") => Verdict::Fault,
            Some(words) => verdict(words)?,
        };
        let shown = !self.faults.is_empty() || !self.quotes.is_empty();
        let verdict = match said {
            Verdict::Perfect | Verdict::Praise if shown => Verdict::Unsure,
            said => said,
        };
        let whats =
            self.faults.iter().map(|fault| fault.what.trim()).filter(|what| !what.is_empty());
        let text = match words.filter(|words| !words.is_empty()) {
            Some(words) => Some(words.to_owned()),
            None => Some(whats.collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty()),
        };
        let quoted = self.faults.into_iter().filter_map(|fault| fault.quote).map(Claim::of_text);
        let claims = quoted.chain(self.quotes).collect();
        Ok(judgment(verdict, text, claims, response))
    }
}

fn judgment(
    verdict: Verdict,
    text: Option<String>,
    claims: Vec<Claim>,
    response: &str,
) -> Judgment {
    let text = text.filter(|_| verdict != Verdict::Perfect);
    let mut quotes: Vec<Quote> = Vec::new();
    let mut missing_quotes = 0;
    for claim in &claims {
        let found = claim.find(response);
        missing_quotes += usize::from(found.is_empty());
        quotes.extend(found);
    }
    // Words may quote what no field does.
    if let (true, Verdict::Fault, Some(text)) = (claims.is_empty(), verdict, &text) {
        let found = within(text, response).into_iter();
        quotes.extend(found.map(|range| Quote::of_bytes(range, response)));
    }
    quotes.sort_by_key(|quote| (quote.start, quote.end));
    quotes.dedup();
    Judgment { verdict, text, quotes, missing_quotes, p_yes: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = "I think that bees make honey from tree bark!";

    fn of(text: &str) -> (Verdict, Option<String>, Vec<String>, usize) {
        let Judgment { verdict, text, quotes, missing_quotes, .. } =
            read(text, RESPONSE).unwrap_or_else(|outcome| panic!("{text}: {outcome:?}"));
        (verdict, text, quotes.into_iter().map(|quote| quote.text).collect(), missing_quotes)
    }

    #[test]
    fn plain_words_are_read_as_in_any_data() {
        for perfect in ["perfect", "Perfect.", "\"perfect\""] {
            assert_eq!(of(perfect), (Verdict::Perfect, None, vec![], 0));
        }
        let (verdict, text, ..) = of("The response is perfect.");
        assert_eq!((verdict, text.is_some()), (Verdict::Praise, true));
        let (verdict, _, quotes, _) = of("Almost perfect, but \"tree bark\" is wrong.");
        assert_eq!((verdict, quotes), (Verdict::Fault, vec!["tree bark".to_owned()]));
    }

    #[test]
    fn objects_are_found_where_models_put_them() {
        let object =
            r#"{"judgment": "Wrong source.", "faults": [{"quote": "tree bark", "what": "no"}]}"#;
        for text in [
            object.to_owned(),
            format!("```json\n{object}\n```"),
            format!("Here is my judgment:\n{object}\nI hope it helps."),
            format!("<think>\nIs {{it}} perfect?\n</think>\n\n{object}"),
        ] {
            let expected =
                (Verdict::Fault, Some("Wrong source.".to_owned()), vec!["tree bark".to_owned()], 0);
            assert_eq!(of(&text), expected, "{text}");
        }
        let (_, text, quotes, missing) = of(
            r#"{"judgment": "", "faults": [{"quote": "wax", "what": "No wax."}, {"what": "Loud.", "quote": "!"}]}"#,
        );
        assert_eq!(
            (text.as_deref(), quotes, missing),
            (Some("No wax. Loud."), vec!["!".to_owned()], 1)
        );
    }

    #[test]
    fn a_command_names_places() {
        let line =
            r#"{"judgment": "No first person.", "quotes": [{"text": "I", "start": 0, "end": 1}]}"#;
        assert_eq!(of(line).2, ["I"]);
        assert_eq!(of(r#"{"judgment": null}"#), (Verdict::Perfect, None, vec![], 0));
    }

    #[test]
    fn a_contradiction_is_unsure() {
        for text in [
            r#"{"judgment": "perfect", "faults": [{"quote": "tree bark", "what": "wrong"}]}"#,
            r#"{"judgment": null, "quotes": [{"text": "tree bark"}]}"#,
            r#"{"judgment": "The response is perfect.", "faults": [{"what": "wrong"}]}"#,
        ] {
            assert_eq!(of(text).0, Verdict::Unsure, "{text}");
        }
    }

    #[test]
    fn a_decision_and_its_words_agree_or_are_unsure() {
        let verdict = |text| read_decided(text, RESPONSE).map(|judgment| judgment.verdict);
        assert_eq!(verdict("The response is perfect. Yes."), Ok(Verdict::Praise));
        assert_eq!(verdict("\"Tree bark\" is wrong. No."), Ok(Verdict::Fault));
        assert_eq!(verdict("The response is perfect. No."), Ok(Verdict::Unsure));
        assert_eq!(verdict("\"Tree bark\" is wrong. Yes."), Ok(Verdict::Unsure));
        assert_eq!(verdict("It is wrong."), Err(Outcome::Unparsable));
        assert_eq!(verdict(" No."), Err(Outcome::Empty));
        let judgment = read_decided("\"tree bark\" is wrong. No.", RESPONSE).expect("reads");
        assert_eq!(judgment.text.as_deref(), Some("\"tree bark\" is wrong."));
        assert_eq!(judgment.quotes.len(), 1);
    }

    #[test]
    fn what_is_no_judgment_is_a_failed_call() {
        for (text, expected) in [
            ("  ", Outcome::Empty),
            (r#"{"judgment": ""}"#, Outcome::Empty),
            (r#"{"judgment": "Wrong", "faults": [{"quo"#, Outcome::Unparsable),
            (r#"{"judgment": 3}"#, Outcome::Unparsable),
            (r#"{"faults": []}"#, Outcome::Unparsable),
            ("```json\n{\"judg", Outcome::Unparsable),
            ("<think>\nThe response is", Outcome::Unparsable),
            ("<think>\n</think>\n", Outcome::Empty),
            ("$ERROR$", Outcome::Refusal),
        ] {
            assert_eq!(read(text, RESPONSE), Err(expected), "{text}");
        }
    }
}
