//! Templates: how an example is put before a model.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::{vec, vec::Vec};
use core::convert::Infallible;

use crate::example::Example;

/// A run of prompt text, by where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The template's own words; markup in it such as `<|im_start|>` becomes special tokens.
    Template(String),
    /// Words of an example. Never becomes a special token, whatever it looks like.
    Data(String),
}

impl Piece {
    /// The text, wherever it comes from.
    pub fn text(&self) -> &str {
        match self {
            Self::Template(text) | Self::Data(text) => text,
        }
    }
}

/// Turns an example into a prompt, everything up to where the response begins.
pub trait Template {
    /// Why a prompt cannot be built; [`Infallible`] if it always can.
    type Error;

    /// The prompt with the given judgment, or the plain one. The example's own judgment is not
    /// consulted.
    ///
    /// # Errors
    /// If the template cannot render this example.
    fn prompt(&self, example: &Example, judgment: Option<&str>) -> Result<Vec<Piece>, Self::Error>;
}

/// The paper's template (Figures 5 and 6), byte for byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaperTemplate;

const PLAIN_HEADER: &str = "Below is an instruction that describes a task. \
    Write a response that appropriately completes the request.\n\n### Instruction:\n";
const JUDGED_HEADER: &str = "Below is an instruction that describes a task. \
    Write a response to the instruction and the response should match the corresponding judgment.\
    \n\n### Instruction:\n";
const JUDGMENT_HEADER: &str = "\n\n### Judgment:\n";
const RESPONSE_HEADER: &str = "\n\n### Response:\n";

impl Template for PaperTemplate {
    type Error = Infallible;

    fn prompt(&self, example: &Example, judgment: Option<&str>) -> Result<Vec<Piece>, Infallible> {
        let template = |text: &str| Piece::Template(text.to_owned());
        let instruction = Piece::Data(example.instruction());
        Ok(match judgment {
            None => vec![template(PLAIN_HEADER), instruction, template(RESPONSE_HEADER)],
            Some(judgment) => vec![
                template(JUDGED_HEADER),
                instruction,
                template(JUDGMENT_HEADER),
                Piece::Data(judgment.to_owned()),
                template(RESPONSE_HEADER),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(judgment: Option<&str>) -> String {
        let example = Example::from_instruction("Name a fruit.", "", "Carrot.", None);
        let pieces = PaperTemplate.prompt(&example, judgment).expect("infallible");
        pieces.iter().map(Piece::text).collect()
    }

    #[test]
    fn plain_prompt_byte_for_byte() {
        assert_eq!(
            text(None),
            "Below is an instruction that describes a task. Write a response that appropriately \
             completes the request.\n\n### Instruction:\nName a fruit.\n\n### Response:\n"
        );
    }

    #[test]
    fn judged_prompt_byte_for_byte() {
        assert_eq!(
            text(Some("A carrot is a vegetable.")),
            "Below is an instruction that describes a task. Write a response to the instruction \
             and the response should match the corresponding judgment.\n\n### Instruction:\n\
             Name a fruit.\n\n### Judgment:\nA carrot is a vegetable.\n\n### Response:\n"
        );
    }
}
