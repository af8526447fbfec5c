//! What a template does with conversations, tried once when it is opened.

use super::conversation::{Conversation, Shape};
use super::{ChatTemplate, TemplateError};

/// What was found.
pub(super) struct Probe {
    /// How the template reads contents and arguments.
    pub shape: Shape,
    /// Whether it writes more than the last message.
    pub keeps_history: bool,
    /// The end of the prompt from `<think>` on, if nothing but blanks comes after it.
    pub opens_thought: Option<String>,
}

// Words that no template has of its own.
const FIRST: &str = "qvwfirst";
const ANSWER: &str = "qvwanswer";
const LAST: &str = "qvwlast";
const ARGUMENT: &str = "qvwargument";

impl Probe {
    /// Tries the template with a short conversation, and with a single message if it refuses that.
    ///
    /// # Errors
    /// If the template writes no message, or fails on every conversation without refusing it.
    pub fn of(template: &ChatTemplate) -> Result<Self, TemplateError> {
        let turns = [("user", FIRST), ("assistant", ANSWER), ("user", LAST)];
        let mut failure = None;
        for turns in [&turns[..], &turns[2..]] {
            for parts in [false, true] {
                let shape = Shape { parts, ..Shape::default() };
                match template.render(&Conversation::of_texts(turns), shape) {
                    Ok(text) if text.contains(LAST) => {
                        return Ok(Self::found(template, shape, &text, turns.len()));
                    }
                    Ok(_) => {
                        let origin = template.origin.clone();
                        failure = Some(TemplateError::NoMessages { origin });
                    }
                    Err(error) => _ = failure.get_or_insert(error),
                }
            }
        }
        match failure {
            // It may be made for conversations of another kind.
            Some(TemplateError::Refuses { .. }) | None => {
                Ok(Self::found(template, Shape::default(), "", 0))
            }
            Some(error) => Err(error),
        }
    }

    fn found(template: &ChatTemplate, shape: Shape, text: &str, turns: usize) -> Self {
        let tail = text.rfind("<think>").map(|at| &text[at..]);
        let opens_thought = tail.filter(|tail| tail.trim_end() == "<think>").map(str::to_owned);
        Self {
            shape: Shape { arguments_as_text: reads_text(template, shape), ..shape },
            keeps_history: turns < 3 || (text.contains(FIRST) && text.contains(ANSWER)),
            opens_thought,
        }
    }
}

/// Whether the template writes a tool call's arguments if they are text, and not if they are an
/// object.
fn reads_text(template: &ChatTemplate, shape: Shape) -> bool {
    let writes = |arguments_as_text| {
        let shape = Shape { arguments_as_text, ..shape };
        let rendered = template.render(&Conversation::of_tool_call(LAST, ARGUMENT), shape);
        rendered.is_ok_and(|text| text.contains(ARGUMENT))
    };
    !writes(false) && writes(true)
}
