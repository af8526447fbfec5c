//! What is learned from judgments: to answer, or to judge (the paper's Figure 9).

use clap::ValueEnum;
use cutq_core::example::{Example, Message};
use serde::{Deserialize, Serialize};

use super::record::Record;

/// What a model learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// To answer as the judgments ask for
    #[default]
    Answer,
    /// To write the judgments itself
    Judge,
}

/// What a model that learns to judge is told.
const QUESTION: &str = "Below is an instruction-response pair. Write a judgment to evaluate the quality of \
    this response. Then reply with 'Yes.' or 'No.' to show your decision on whether the response is \
    perfect.";

/// Its judgment of a good response.
const PERFECT: &str = "The response is perfect.";

impl Task {
    /// The examples that it learns from.
    pub fn examples(self, records: &mut [Record]) {
        if self == Self::Judge {
            for Record { example, .. } in records {
                *example = judgment(example);
            }
        }
    }

    /// What an adapter that has learned it says of itself, if anything.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Answer => None,
            Self::Judge => Some("judge"),
        }
    }
}

/// The question that a judgment answers.
pub fn judge_question(instruction: &str, response: &str) -> Message {
    let pair = format!("### Instruction: {instruction}\n### Response: {response}\n### Judgment:");
    Message::new("user", format!("{QUESTION}\n\n{pair}"))
}

/// A judged response as an example of judging: the judgment is the response, and decides.
fn judgment(example: &Example) -> Example {
    let question = judge_question(&example.instruction(), &example.response);
    let judgment = match &example.judgment {
        Some(judgment) => format!("{} No.", judgment.trim()),
        None => format!("{PERFECT} Yes."),
    };
    Example::from_messages(vec![question], &judgment, None)
}

/// A judgment and whether it decides that the response is perfect; none without a decision.
pub fn decision(text: &str) -> Option<(&str, bool)> {
    let text = text.trim();
    let ends = |word: &str| text.strip_suffix(word).map(str::trim_end);
    ends("Yes.").map(|text| (text, true)).or_else(|| Some((ends("No.")?, false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judgment_is_learned_with_its_decision() {
        let learned =
            |text: Option<&str>| {
                let example = judgment(&Example::from_instruction("Add 6 and 7.", "", "14", text));
                assert_eq!(example.judgment, None);
                let question = example.messages[0].content.clone();
                assert!(question.ends_with(
                    "\n\n### Instruction: Add 6 and 7.\n### Response: 14\n### Judgment:"
                ));
                example.response
            };
        assert_eq!(learned(Some("It is 13.\n")), "It is 13. No.");
        assert_eq!(learned(None), "The response is perfect. Yes.");
        assert_eq!(decision(&learned(Some("It is 13."))), Some(("It is 13.", false)));
        assert_eq!(decision(&learned(None)), Some((PERFECT, true)));
        assert_eq!(decision("It is 13."), None);
    }
}
