//! How text becomes tokens: the template that puts an example before the model, and the tokenizer.

mod encoder;
mod template;

pub use encoder::Encoder;
pub use template::{AnyTemplate, TemplateName};
