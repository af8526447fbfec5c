//! The contexts of an example: its prompts, and the response they share.

use alloc::vec::Vec;

use crate::example::Example;
use crate::objective::Contexts;
use crate::template::{Piece, Template};

/// The praise that stands in for a judgment in the contrast context.
pub const PRAISE: &str = "Your response to the instruction is satisfactory.";

/// The prompts of one example. Prompt and response are kept apart: an engine tokenizes each by
/// itself and joins the ids, so that positions follow from lengths and no merge crosses the
/// boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts<'a> {
    /// `x`: Align-P for a positive example, Misalign for a judged one.
    pub plain: Vec<Piece>,
    /// `x, j`: Align-N; present exactly if the example has a judgment.
    pub judged: Option<Vec<Piece>>,
    /// `x` with [`PRAISE`] in the judgment's place; present if the example has a judgment and the
    /// objective asks for it.
    pub contrast: Option<Vec<Piece>>,
    /// The response, all of it data.
    pub response: &'a str,
}

impl<'a> Prompts<'a> {
    /// Renders an example for an objective that asks for `contexts`.
    ///
    /// # Errors
    /// If the template cannot render the example.
    pub fn new<T: Template>(
        example: &'a Example,
        template: &T,
        contexts: Contexts,
    ) -> Result<Self, T::Error> {
        let judged = example.judgment.as_deref();
        let praise = judged.filter(|_| contexts.contrast).map(|_| PRAISE);
        let filled = |judgment: Option<&str>| {
            judgment.map(|text| template.prompt(example, Some(text))).transpose()
        };
        Ok(Self {
            plain: template.prompt(example, None)?,
            judged: filled(judged)?,
            contrast: filled(praise)?,
            response: &example.response,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Contrast, Cut, CutOptions, Objective};
    use crate::template::PaperTemplate;

    fn prompts(judgment: Option<&str>, contrast: Contrast) -> (bool, Option<Vec<Piece>>) {
        let example = Example::from_instruction("x", "", "y", judgment);
        let cut = Cut::new(CutOptions { contrast, ..CutOptions::PAPER }).expect("valid");
        let contexts = cut.contexts(example.is_judged());
        let prompts = Prompts::new(&example, &PaperTemplate, contexts).expect("infallible");
        (prompts.judged.is_some(), prompts.contrast)
    }

    #[test]
    fn contexts_follow_from_judgment_and_objective() {
        assert_eq!(prompts(None, Contrast::HeaderMatched), (false, None));
        assert_eq!(prompts(Some("bad"), Contrast::Plain), (true, None));
        let (judged, contrast) = prompts(Some("bad"), Contrast::HeaderMatched);
        let contrast = contrast.expect("asked for");
        assert!(judged && contrast.iter().any(|piece| piece.text() == PRAISE));
        assert!(contrast.iter().all(|piece| piece.text() != "bad"));
    }
}
