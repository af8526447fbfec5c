//! How tokens are chosen.

use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::llama::model::LlamaModel;
use crate::sys;

/// How tokens are chosen.
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    /// Tokens at most.
    pub n_predict: usize,
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Only the likeliest tokens whose probabilities sum to this are drawn.
    pub top_p: f32,
    /// Only this many of the likeliest tokens are drawn; 0 for all.
    pub top_k: usize,
    /// Seed of the draws.
    pub seed: u32,
    /// Whether to go on where the model ends its turn.
    pub ignore_eos: bool,
}

/// A chain of llama.cpp's samplers.
pub(super) struct Sampler(NonNull<sys::llama_sampler>);

impl Sampler {
    pub fn new(sampling: &Sampling) -> Self {
        // SAFETY: plain constructors; the chain owns what is added to it.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            if sampling.temperature > 0.0 {
                let top_k = i32::try_from(sampling.top_k).unwrap_or(0);
                sys::llama_sampler_chain_add(chain, sys::llama_sampler_init_top_k(top_k));
                sys::llama_sampler_chain_add(
                    chain,
                    sys::llama_sampler_init_top_p(sampling.top_p, 1),
                );
                let temperature = sys::llama_sampler_init_temp(sampling.temperature);
                sys::llama_sampler_chain_add(chain, temperature);
                sys::llama_sampler_chain_add(chain, sys::llama_sampler_init_dist(sampling.seed));
            } else {
                sys::llama_sampler_chain_add(chain, sys::llama_sampler_init_greedy());
            }
            Self(NonNull::new(chain).expect("memory for a sampler"))
        }
    }

    /// The sampler of a grammar alone; none if llama.cpp cannot read it.
    pub fn grammar(model: &LlamaModel, grammar: &CStr) -> Option<Self> {
        // SAFETY: the vocabulary and both texts are alive; the sampler copies what it keeps of them.
        let sampler = unsafe {
            sys::llama_sampler_init_grammar(model.vocab(), grammar.as_ptr(), c"root".as_ptr())
        };
        NonNull::new(sampler).map(Self)
    }

    /// Chooses as `self` does, among the tokens that `grammar` allows; none if it cannot be read.
    /// The model outlives the sampler.
    pub fn constrained(self, model: &LlamaModel, grammar: &CStr) -> Option<Self> {
        let grammar = Self::grammar(model, grammar)?;
        // SAFETY: plain constructors; the chain owns what is added to it, so neither is freed here.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            let chain = NonNull::new(chain).expect("memory for a sampler");
            for sampler in [grammar, self] {
                sys::llama_sampler_chain_add(chain.as_ptr(), ManuallyDrop::new(sampler).as_ptr());
            }
            Some(Self(chain))
        }
    }

    pub fn as_ptr(&self) -> *mut sys::llama_sampler {
        self.0.as_ptr()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // SAFETY: created in `new`, freed once.
        unsafe { sys::llama_sampler_free(self.0.as_ptr()) }
    }
}
