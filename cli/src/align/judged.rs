//! Answers with what their judge said, as the files of a stage have them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::judge::Verdict;

/// What a line of answers holds of the answer itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// The task's.
    pub id: String,
    /// The text.
    pub output: String,
    /// Its tokens.
    pub tokens: usize,
    /// Whether it was cut.
    pub truncated: bool,
}

/// What a line of judgments adds.
#[derive(Clone, Debug, Deserialize)]
pub struct Judgment {
    /// What is wrong.
    pub judgment: Option<String>,
    /// What that means.
    pub verdict: Verdict,
    /// The whole line.
    #[serde(skip)]
    pub line: Map<String, Value>,
}

/// An answer, and what was said of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The answer.
    pub answer: Answer,
    /// None if the call failed, or there is no text to judge.
    pub judgment: Option<Judgment>,
}

impl Judged {
    /// The answers of a stage, in their order.
    ///
    /// # Errors
    /// Files that cannot be read or are not what the program writes.
    pub fn read(answers: &Path, judgments: &Path) -> Result<Vec<Self>> {
        let mut said = HashMap::new();
        for line in lines::<Map<String, Value>>(judgments)? {
            let fault = || format!("{}: not a judgment", judgments.display());
            let judgment: Judgment =
                serde_json::from_value(Value::Object(line.clone())).with_context(fault)?;
            let id = line.get("id").and_then(Value::as_str).with_context(fault)?.to_owned();
            said.insert(id, Judgment { line, ..judgment });
        }
        let answers: Vec<Answer> = lines(answers)?;
        let judged = |answer: Answer| Self { judgment: said.remove(&answer.id), answer };
        Ok(answers.into_iter().map(judged).collect())
    }

    /// What was found; none if the call failed.
    pub fn verdict(&self) -> Option<Verdict> {
        self.judgment.as_ref().map(|judgment| judgment.verdict)
    }

    /// Whether there is no text. Then there is nothing to praise, whatever the judge says.
    pub fn is_empty(&self) -> bool {
        self.answer.output.trim().is_empty()
    }

    /// Whether the judge should have said something and did not.
    pub fn has_failed(&self) -> bool {
        self.judgment.is_none() && !self.is_empty()
    }

    /// Whether the answer is a good one; none where that is not known.
    pub fn passes(&self) -> Option<bool> {
        match self.is_empty() {
            true => Some(false),
            false => self.verdict()?.passes(),
        }
    }
}

/// The lines of a file of JSON lines.
///
/// # Errors
/// A file that cannot be read, a line that is not a `T`.
pub(super) fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parse = |(line, number): (&str, usize)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}:{number}: not what cutq writes", path.display()))
    };
    text.lines().zip(1..).map(parse).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// An answer with its judgment; none for a failed call.
    pub(crate) fn judged(id: &str, output: &str, verdict: Option<Verdict>) -> Judged {
        let line = json!({"id": id, "output": output});
        let judgment = (verdict == Some(Verdict::Fault)).then(|| "It says \"I\".".to_owned());
        let line = line.as_object().expect("an object").clone();
        let tokens = output.split_whitespace().count();
        Judged {
            answer: Answer { id: id.into(), output: output.into(), tokens, truncated: false },
            judgment: verdict.map(|verdict| Judgment { judgment, verdict, line }),
        }
    }

    #[test]
    fn an_empty_answer_never_passes_and_a_failed_call_is_no_judgment() {
        assert!(judged("1", "a", None).has_failed() && !judged("1", "", None).has_failed());
        for (output, verdict, expected) in [
            ("a", Some(Verdict::Perfect), Some(true)),
            ("a", Some(Verdict::Praise), Some(true)),
            (" \n", Some(Verdict::Perfect), Some(false)),
            ("", None, Some(false)),
            ("a", Some(Verdict::Fault), Some(false)),
            ("a", Some(Verdict::Unsure), None),
            ("a", None, None),
        ] {
            assert_eq!(judged("1", output, verdict).passes(), expected, "{output:?} {verdict:?}");
        }
    }

    #[test]
    fn answers_find_their_judgments_by_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let [answers, judgments] = ["a", "j"].map(|name| folder.path().join(name));
        let line =
            |id| format!("{{\"id\":\"{id}\",\"output\":\"x\",\"tokens\":1,\"truncated\":false");
        fs::write(&answers, format!("{}}}\n{}}}\n", line("1"), line("2"))).expect("writes");
        let said = ",\"judgment\":null,\"verdict\":\"perfect\"}";
        fs::write(&judgments, format!("{}{said}\n", line("2"))).expect("writes");
        let found = Judged::read(&answers, &judgments).expect("reads");
        let verdicts: Vec<_> = found.iter().map(Judged::verdict).collect();
        assert_eq!(verdicts, [None, Some(Verdict::Perfect)]);
    }
}
