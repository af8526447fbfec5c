//! Asks the judge of a run about the answers of a stage.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cutq_core::example::Message;
use serde_json::{Map, Value, json};

use super::judged::lines;
use super::stage::Interrupted;
use crate::judge::{Answer, Call, CommandJudge, Judge, Key, Outcome, Reply};

/// Judges `answers.jsonl` in `work`: `calls.jsonl`, then `judgments.jsonl`.
///
/// # Errors
/// A judge that cannot be asked, files that cannot be written, an interrupt.
pub(super) fn judge(
    specs: &[String],
    answers: &Path,
    work: &Path,
    stops: &dyn Fn() -> bool,
) -> Result<()> {
    let [spec] = specs else { bail!("one judge") };
    let Some(command) = spec.strip_prefix("cmd:") else { bail!("only cmd: yet") };
    let mut judge = CommandJudge::new(command, Duration::from_secs(600));
    let path = work.join("calls.jsonl");
    let mut replies: HashMap<String, Reply> = HashMap::new();
    if path.exists() {
        let text = std::fs::read_to_string(&path)?;
        for line in text.lines() {
            if let Ok(reply) = serde_json::from_str::<Reply>(line) {
                replies.insert(reply.key.to_string(), reply);
            }
        }
    }
    let answers: Vec<Map<String, Value>> = lines(answers)?;
    let calls: Vec<Call> = answers.iter().map(|line| call(judge.name(), line)).collect();
    let missing: Vec<Call> =
        calls.iter().filter(|call| !replies.contains_key(&call.key.to_string())).cloned().collect();
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut failed = None;
    if !missing.is_empty() {
        judge.ask(&missing, &mut |reply| {
            let line = serde_json::to_string(&reply).expect("names are strings");
            if let Err(error) = writeln!(file, "{line}") {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            replies.insert(reply.key.to_string(), reply);
            if stops() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    if let Some(error) = failed {
        return Err(error).with_context(|| format!("cannot write {}", path.display()));
    }
    let mut text = String::new();
    for (line, call) in answers.into_iter().zip(&calls) {
        let Some(reply) = replies.get(&call.key.to_string()) else {
            return Err(Interrupted.into());
        };
        if reply.outcome == Outcome::Answered {
            let mut line = line;
            let said: Value = serde_json::from_str(reply.text.as_deref().unwrap_or("null"))?;
            let judgment = said["judgment"].clone();
            let verdict = if judgment.is_null() { "perfect" } else { "fault" };
            line.insert("judgment".into(), judgment);
            line.insert("verdict".into(), json!(verdict));
            line.insert("quotes".into(), said.get("quotes").cloned().unwrap_or(json!([])));
            line.insert("judge".into(), json!(judge.name()));
            text += &format!("{}\n", Value::Object(line));
        }
    }
    std::fs::write(work.join("judgments.jsonl"), text)?;
    Ok(())
}

fn call(name: &str, line: &Map<String, Value>) -> Call {
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (instruction, response) = (text("instruction"), text("output"));
    Call {
        key: Key::new([name, &instruction, &response]),
        answer: Arc::new(Answer {
            id: text("id"),
            messages: vec![Message::new("user", instruction)],
            response,
            truncated: line.get("truncated") == Some(&json!(true)),
            fields: line.clone(),
        }),
        messages: Vec::new(),
    }
}
