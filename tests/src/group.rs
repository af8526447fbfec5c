//! Examples as the token ids that the engine reads.

use cutq_core::context::Prompts;
use cutq_core::example::Example;
use cutq_core::group::Group;
use cutq_core::objective::Contexts;
use cutq_core::template::PaperTemplate;
use cutq_ffi::Tokenizer;

/// Tokenizes an example in the paper's template, the response closed by the end-of-sequence token.
///
/// # Panics
/// If the tokenizer refuses the text.
pub fn tokenize(tokenizer: &Tokenizer, index: usize, example: &Example) -> Group {
    let prompts = Prompts::new(example, &PaperTemplate, Contexts::BOTH).expect("infallible");
    let encode = |pieces: &Vec<_>| tokenizer.encode_prompt(pieces).expect("text is tokenized");
    let mut response = tokenizer.encode_response(&example.response).expect("text is tokenized");
    response.push(tokenizer.eos());
    Group {
        index,
        prompt: encode(&prompts.plain),
        judged_prompt: prompts.judged.as_ref().map(encode),
        contrast_prompt: None,
        response,
        ends_with_eos: true,
    }
}
