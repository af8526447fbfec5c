//! The token that ends a text.

use crate::gguf::file::Gguf;
use crate::llama::model::LlamaModel;
use crate::sys;
use crate::text::controls::Controls;

/// The token that the file says ends a text.
///
/// If it says none, or one that is not in the vocabulary, llama.cpp goes on with an id that some
/// vocabulary had there; that one is taken only if it is a control token, and else the first
/// control token at which llama.cpp ends generation. `None` if there is none.
pub(crate) fn end_token(gguf: &Gguf, model: &LlamaModel, controls: &Controls) -> Option<u32> {
    let vocab = model.vocab();
    // SAFETY: the vocabulary is alive.
    let (n_vocab, eos) = unsafe { (sys::llama_vocab_n_tokens(vocab), sys::llama_vocab_eos(vocab)) };
    let n_vocab = u32::try_from(n_vocab).ok()?;
    let is_token = |id: &u32| *id < n_vocab;
    let named = gguf.int("tokenizer.ggml.eos_token_id").and_then(|id| u32::try_from(id).ok());
    let assumed = u32::try_from(eos).ok().filter(|&id| controls.contains(id));
    let any = || (0..n_vocab).find(|&id| controls.contains(id) && model.is_end(id));
    named.filter(is_token).or(assumed.filter(is_token)).or_else(any)
}
