//! Alpaca's fields with a judgment: `instruction`, `input`, `output`, `judgment`.

use cutq_core::example::Example;
use serde_json::{Map, Value};

use super::fields::Fields;
use crate::data::problem::Problem;

/// What the format needs, for messages.
pub(super) const NEEDS: &str = "`instruction`, `output` (and may have `input`, `judgment`)";

/// Reads one object.
pub(super) fn example(map: &Map<String, Value>) -> Result<Example, Problem> {
    let fields = Fields { map, format: "alpaca", needs: NEEDS };
    Ok(Example::from_instruction(
        fields.text("instruction")?,
        fields.optional_text("input")?.unwrap_or_default(),
        fields.text("output")?,
        fields.optional_text("judgment")?,
    ))
}
