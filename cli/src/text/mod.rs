//! How text becomes tokens: the template that puts an example before the model, and the tokenizer.

mod encoder;
mod template;

pub use encoder::Encoder;
pub use template::{AnyTemplate, TemplateName};

use std::path::Path;

use anyhow::Result;
use cutq_ffi::{Gguf, Now};

/// The template asked for, or else the one that [`TemplateName::of`] finds, and the tokenizer beside
/// it; `now` is what the template is told as the time.
pub fn open(
    gguf: &Gguf,
    template: Option<&TemplateName>,
    tokenizer: Option<&Path>,
    now: Now,
) -> Result<(AnyTemplate, Encoder)> {
    let tokenizer = encoder::tokenizer(gguf, tokenizer)?;
    let name = template.cloned().unwrap_or_else(|| TemplateName::of(gguf));
    let template = AnyTemplate::open(&name, gguf, &tokenizer, now)?;
    let encoder = Encoder::new(tokenizer, &template)?;
    Ok((template, encoder))
}
