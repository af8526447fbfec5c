//! Examples as the token ids that the engine reads.

use cutq_core::context::Contexts;
use cutq_core::example::Example;
use cutq_core::group::Group;
use cutq_core::prompts::render;
use cutq_core::template::PaperTemplate;
use cutq_ffi::Tokenizer;

/// Tokenizes an example in the paper's template, the response closed by the end-of-sequence token.
///
/// # Panics
/// If the tokenizer refuses the text.
pub fn tokenize(tokenizer: &Tokenizer, index: usize, example: &Example) -> Group {
    let prompts = render(example, &PaperTemplate, Contexts::BOTH).expect("infallible");
    let encode = |pieces: Vec<_>| tokenizer.encode_prompt(&pieces).expect("text is tokenized");
    let mut response = tokenizer.encode_response(&example.response).expect("text is tokenized");
    response.push(tokenizer.eos());
    Group {
        index,
        prompts: prompts.map(|pieces| pieces.map(encode)),
        response,
        ends_with_eos: true,
        quoted: None,
    }
}
