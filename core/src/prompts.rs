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
/// | contrast | `x` and [`PRAISE`] for `j`, if there is a judgment and `contexts` asks for it |
///
/// The response is no part of them: an engine tokenizes prompt and response apart and joins the
/// ids, so that positions follow from lengths and no merge crosses the boundary.
///
/// ```
/// use cutq_core::context::Contexts;
/// use cutq_core::example::Example;
/// use cutq_core::prompts::render;
/// use cutq_core::template::{PaperTemplate, Piece};
///
/// let example = Example::from_instruction("Name a fruit.", "", "Carrot.", Some("A vegetable."));
/// let Ok(prompts) = render(&example, &PaperTemplate, Contexts::BOTH);
/// let judged: String = prompts.judged.iter().flatten().map(Piece::text).collect();
/// assert!(judged.ends_with("### Judgment:\nA vegetable.\n\n### Response:\n"));
/// assert_eq!(prompts.plain.map(|pieces| pieces.len()), Some(3));
/// assert_eq!(prompts.contrast, None);
/// ```
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
