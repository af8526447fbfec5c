//! The prompts that an example's response is read after.

use alloc::vec::Vec;

use crate::context::{Contexts, PerContext};
use crate::example::Example;
use crate::template::{Piece, Template};

/// The praise that stands in for a judgment in the contrast context.
pub const PRAISE: &str = "Your response to the instruction is satisfactory.";

/// The prompts of an example, for an objective that asks for `contexts`.
///
/// | context | prompt |
/// |---|---|
/// | plain | `x`, always: Align-P for a positive example, Misalign for a judged one |
/// | judged | `x, j`: Align-N, exactly if the example has a judgment |
/// | contrast | `x` and [`PRAISE`] in `j`'s place, if there is a judgment and `contexts` asks for it |
///
/// The response is no part of them: an engine tokenizes prompt and response apart and joins the
/// ids, so that positions follow from lengths and no merge crosses the boundary.
///
/// # Errors
/// If the template cannot render the example.
pub fn render<T: Template>(
    example: &Example,
    template: &T,
    contexts: Contexts,
) -> Result<PerContext<Option<Vec<Piece>>>, T::Error> {
    let judgment = example.judgment.as_deref();
    let praise = judgment.filter(|_| contexts.contrast).map(|_| PRAISE);
    let wanted =
        PerContext { plain: Some(None), judged: judgment.map(Some), contrast: praise.map(Some) };
    wanted.try_map(|filling| filling.map(|text| template.prompt(example, text)).transpose())
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
        let prompts = render(&example, &PaperTemplate, contexts).expect("infallible");
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
