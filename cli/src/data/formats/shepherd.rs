//! The fields of the Shepherd critiques: `question`, `answer`, `feedback`.

use cutq_core::example::Example;
use serde_json::{Map, Value};

use super::fields::Fields;
use crate::data::problem::Problem;

/// What the format needs, for messages.
pub(super) const NEEDS: &str = "`question`, `answer` (and may have `feedback`)";

/// Reads one object.
pub(super) fn example(map: &Map<String, Value>) -> Result<Example, Problem> {
    let fields = Fields { map, format: "shepherd", needs: NEEDS };
    Ok(Example::from_instruction(
        fields.text("question")?,
        "",
        fields.text("answer")?,
        fields.optional_text("feedback")?,
    ))
}
