//! Fields of the files that cutq writes itself, answers and judgments, in any format.

use cutq_core::example::Example;
use serde_json::Value;

use super::fields::Fields;
use crate::data::judgment::Verdict;
use crate::data::problem::Problem;
use crate::data::quotes;

/// Fields that say where a line comes from, and how sure its judge is.
const ORIGIN: [&str; 5] = ["id", "tokens", "sample", "judge", "p_yes"];

/// What the fields say beside the examples.
#[derive(Debug, Default, PartialEq)]
pub(in crate::data) struct Own {
    /// Whether the judge does not know what to think of the response.
    pub is_unsure: bool,
    /// Quotes that the response does not hold.
    pub missing_quotes: usize,
}

/// Reads `verdict`, `truncated` and `quotes` for the object's examples, of which a judgment is about
/// the last.
///
/// # Errors
/// Fields of the wrong kind; a verdict or quotes that contradict the judgment.
pub(super) fn read(fields: &mut Fields, examples: &mut [Example]) -> Result<Own, Problem> {
    let mut own = Own::default();
    let Some(last) = examples.last_mut() else {
        return Ok(own);
    };
    let verdict = fields.verdict();
    if verdict.is_some() || fields.has("sample") {
        ORIGIN.iter().for_each(|field| drop(fields.take(field)));
    }
    let said = last.judgment.as_deref().map(Verdict::of);
    match (verdict.as_deref(), said) {
        (Some("unsure"), _) => own.is_unsure = true,
        (Some("fault"), None) => {
            return Err(Problem::Unjudged { what: "a response with the verdict fault" });
        }
        (Some(verdict @ "fault"), Some(Verdict::Praise))
        | (Some(verdict @ ("perfect" | "praise")), Some(Verdict::Criticism)) => {
            return Err(Problem::Contradiction { verdict: verdict.to_owned() });
        }
        _ => {}
    }
    last.truncated = fields.flag("truncated")?;
    if let Some(value) = fields.take("quotes") {
        let found = quotes::read(value, &last.response)?;
        if last.judgment.is_none() && !found.ranges.is_empty() {
            return Err(Problem::Unjudged { what: "a response with quotes" });
        }
        (last.quotes, own.missing_quotes) = (found.ranges, found.missing);
    }
    Ok(own)
}

impl Fields {
    /// A verdict in one of cutq's words; any other may be criticism.
    fn verdict(&mut self) -> Option<String> {
        let known = ["perfect", "praise", "fault", "unsure"];
        let is_known =
            self.peek("verdict").and_then(Value::as_str).is_some_and(|v| known.contains(&v));
        let verdict = is_known.then(|| self.take("verdict")).flatten()?;
        verdict.as_str().map(str::to_owned)
    }
}
