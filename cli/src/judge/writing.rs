//! `judgments.jsonl`: answers with what is wrong with them, ready to be learned from.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::judgment::{Judgment, Verdict};
use crate::data::{Answer, is_judgment};

/// The field of a judge that knows how sure it is.
const P_YES: &str = "p_yes";

/// Replaces a file by the lines of the answers that have a judgment, each as it was, with the judgment.
///
/// # Errors
/// If it cannot be written.
pub fn write_judgments(
    path: &Path,
    judge: &str,
    answers: &[Arc<Answer>],
    judgments: &[Option<Judgment>],
) -> Result<()> {
    let judged = answers.iter().map(Arc::as_ref).zip(judgments);
    cutq_ffi::replace_file(path, |file| write(&mut BufWriter::new(file), judge, judged))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn write<'a>(
    out: &mut impl Write,
    judge: &str,
    judged: impl Iterator<Item = (&'a Answer, &'a Option<Judgment>)>,
) -> io::Result<()> {
    for (answer, judgment) in judged {
        if let Some(judgment) = judgment {
            serde_json::to_writer(&mut *out, &line(answer, judgment, judge))?;
            out.write_all(b"\n")?;
        }
    }
    // Dropped, a buffer would keep a full disk to itself.
    out.flush()
}

fn line(answer: &Answer, judgment: &Judgment, judge: &str) -> Map<String, Value> {
    let mut line = answer.fields.clone();
    line.retain(|name, _| !is_judgment(name) && name != P_YES);
    line.entry("id").or_insert_with(|| json!(answer.id));
    // Only a fault is criticism; what an unsure judge said is in the replies.
    let text = judgment.text.as_ref().filter(|_| judgment.verdict != Verdict::Perfect);
    line.insert("judgment".to_owned(), json!(text));
    line.insert("verdict".to_owned(), json!(judgment.verdict));
    let quotes = match judgment.verdict {
        Verdict::Fault => &judgment.quotes[..],
        Verdict::Perfect | Verdict::Praise | Verdict::Unsure => &[],
    };
    line.insert("quotes".to_owned(), json!(quotes));
    if let Some(p_yes) = judgment.p_yes {
        line.insert(P_YES.to_owned(), json!(p_yes));
    }
    line.insert("judge".to_owned(), json!(judge));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::quote::Quote;

    #[test]
    fn a_line_keeps_its_fields_and_gets_the_judgment() {
        let Value::Object(fields) =
            json!({"question": "q", "answer": "I am.", "Feedback": "old", "p_yes": 0.3, "x": 1})
        else {
            unreachable!()
        };
        let response = "I am.".to_owned();
        let answer = Answer { id: "7".to_owned(), messages: Vec::new(), response, fields };
        let quote = Quote { text: "I".to_owned(), start: 0, end: 1 };
        let text = Some("No first person.".to_owned());
        let good = Judgment {
            verdict: Verdict::Perfect,
            text: None,
            quotes: Vec::new(),
            missing_quotes: 0,
            p_yes: None,
        };
        let (verdict, quotes, p_yes) = (Verdict::Fault, vec![quote], Some(0.25));
        let judgment = Judgment { verdict, text, quotes, p_yes, ..good.clone() };
        let mut out = Vec::new();
        let judged = [(&answer, &Some(judgment)), (&answer, &None), (&answer, &Some(good))];
        write(&mut out, "cmd:x", judged.into_iter()).expect("writes");
        let lines: Vec<Value> = out
            .split(|b| *b == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        assert_eq!(
            lines,
            [
                json!({"question": "q", "answer": "I am.", "x": 1, "id": "7", "judgment":
                    "No first person.", "verdict": "fault", "quotes":
                    [{"text": "I", "start": 0, "end": 1}], "p_yes": 0.25, "judge": "cmd:x"}),
                json!({"question": "q", "answer": "I am.", "x": 1, "id": "7", "judgment": null,
                    "verdict": "perfect", "quotes": [], "judge": "cmd:x"}),
            ]
        );
    }
}
