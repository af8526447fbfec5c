//! Fields that look as if they held criticism.
//!
//! A response whose criticism nobody reads is learned as a good one. So a name in doubt counts.

use serde_json::{Map, Value};

use crate::data::problem::Problem;

/// How words of a name begin that is about the quality of a response.
#[rustfmt::skip]
const STEMS: [&str; 36] = [
    "judg", "critic", "critiq", "feedback", "comment", "review", "verdict", "complain", "remark",
    "correction", "mistake", "error", "fault", "flaw", "issue", "wrong", "incorrect", "reject",
    "objection", "annotat", "rating", "score", "label", "grade", "quality", "reward", "preference",
    "evaluat", "assessment", "rationale", "reason", "explanation", "opinion", "improve",
    "suggestion", "penalty",
];

/// Whole words of that kind, which begin others, too.
const WORDS: [&str; 6] = ["bad", "note", "notes", "rate", "vote", "votes"];

/// Last words that make a name one about something else: who, when, how many, where from.
#[rustfmt::skip]
const BESIDE: [&str; 19] = [
    "id", "ids", "idx", "index", "count", "num", "number", "total", "time", "date", "at", "by",
    "model", "name", "url", "version", "type", "source", "content",
];

/// Names that are known to be about something else.
const KNOWN: [&str; 3] = ["reasoning", "reasoning_content", "correct_answer"];

/// Refuses a field of `map`, which stands at `place`, that looks like criticism and holds something.
///
/// # Errors
/// The first such field.
pub(super) fn refuse(map: &Map<String, Value>, place: &str) -> Result<(), Problem> {
    for (name, value) in map {
        if is_empty(value) {
            continue;
        }
        if looks_like_criticism(name) {
            return Err(Problem::Criticism { field: format!("{place}{name}"), name: name.clone() });
        }
        refuse_inside(value, &format!("{place}{name}"))?;
    }
    Ok(())
}

fn refuse_inside(value: &Value, place: &str) -> Result<(), Problem> {
    match value {
        Value::Object(map) => refuse(map, &format!("{place}.")),
        Value::Array(list) => {
            list.iter().try_for_each(|value| refuse_inside(value, &format!("{place}[]")))
        }
        _ => Ok(()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.iter().all(is_empty),
        Value::Object(map) => map.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn looks_like_criticism(name: &str) -> bool {
    let words = words(name);
    let is = |word: &str, list: &[&str]| list.contains(&word);
    let about = |word: &String| is(word, &WORDS) || STEMS.iter().any(|stem| word.starts_with(stem));
    let beside = words.last().is_some_and(|word| is(word, &BESIDE));
    !KNOWN.contains(&name.to_lowercase().as_str()) && !beside && words.iter().any(about)
}

/// The words of `snake_case`, `kebab-case`, `camelCase` or a phrase, in small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        let begins = letter.is_uppercase() && before.is_lowercase();
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(letter.to_lowercase());
        }
        before = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_in_doubt_are_criticism() {
        for name in [
            "comment",
            "human_comments",
            "Review",
            "judge-verdict",
            "whatIsWrong",
            "score",
            "overall rating",
            "label",
            "rationale",
            "Fehler/errors",
            "rejectionReason",
            "is_bad",
            "reward_model_score",
        ] {
            assert!(looks_like_criticism(name), "{name}");
        }
        for name in [
            "id",
            "source",
            "comment_count",
            "judge_model",
            "label_id",
            "reasoning",
            "category",
            "reviewed_by",
            "text",
            "lang",
            "topic",
            "generator",
            "notebook",
            "badge",
            "concrete",
            "scope",
        ] {
            assert!(!looks_like_criticism(name), "{name}");
        }
    }

    #[test]
    fn what_is_empty_holds_no_criticism_and_what_is_nested_does() {
        let check = |value: Value| {
            let found = refuse(value.as_object().expect("an object"), "");
            found.err().map(|problem| problem.to_string())
        };
        for value in [json!({"comment": null}), json!({"comment": " "}), json!({"labels": [""]})] {
            assert_eq!(check(value), None);
        }
        for (value, field) in [
            (json!({"meta": {"x": {"critique": "Wrong."}}}), "`meta.x.critique`"),
            (json!({"ratings": [{"comment": "Wrong."}]}), "`ratings`"),
            (json!({"turns": [{"by": 1, "remark": "Wrong."}]}), "`turns[].remark`"),
            (json!({"label": false}), "`label`"),
        ] {
            let message = check(value).expect(field);
            assert!(message.starts_with(&format!("field {field}")), "{message}");
        }
    }
}
