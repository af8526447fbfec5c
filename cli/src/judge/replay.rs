//! The judge that repeats what was said before of the same answers.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::asking::Judge;
use super::call::Call;
use super::reply::{Outcome, Reply};
use crate::data::{Answer, answers};

/// Judgments of a file, by instruction and response.
pub struct Replay {
    name: String,
    lines: HashMap<(String, String), String>,
}

impl Replay {
    /// The judgments of a file that `cutq judge` wrote, or of any data whose field is `judgment`.
    ///
    /// # Errors
    /// If the file cannot be read, or has no judgments.
    pub fn open(path: &Path) -> Result<Self> {
        let found = answers(path).context("cannot replay")?;
        let lines: HashMap<_, _> = found.iter().filter_map(line).collect();
        if lines.is_empty() {
            anyhow::bail!("cannot replay: no line of {} has a field `judgment`", path.display());
        }
        Ok(Self { name: format!("replay:{}", path.display()), lines })
    }
}

/// What was said of an answer, in the form of a command's line; nothing if the judge was unsure.
fn line(answer: &Answer) -> Option<((String, String), String)> {
    let judgment = answer.fields.get("judgment")?;
    if answer.fields.get("verdict").and_then(Value::as_str) == Some("unsure") {
        return None;
    }
    let quotes = answer.fields.get("quotes").cloned().unwrap_or_else(|| json!([]));
    let line = json!({"judgment": judgment, "quotes": quotes}).to_string();
    Some(((answer.instruction(), answer.response.clone()), line))
}

impl Judge for Replay {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        _stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        for call in calls {
            let said = self.lines.get(&(call.answer.instruction(), call.answer.response.clone()));
            let (outcome, text) = match said {
                Some(line) => (Outcome::Answered, line.clone()),
                None => (Outcome::Empty, "nothing was said of this answer before".to_owned()),
            };
            if received(Reply::new(call.key.clone(), outcome, text, Duration::ZERO)).is_break() {
                break;
            }
        }
        Ok(())
    }
}
