//! Generation through llama.cpp, with the adapter attached as its users attach it.

use std::ffi::CString;
use std::ops::ControlFlow;
use std::path::Path;
use std::ptr::NonNull;

use cutq_core::log_space::log_sum_exp;

use crate::ggml::device::Device;
use crate::ggml::threads::Threads;
use crate::llama::error::LlamaError;
use crate::llama::model::{LlamaModel, c_path};
use crate::llama::pace::Pace;
use crate::llama::sampler::{Sampler, Sampling};
use crate::llama::utf8::Utf8Stream;
use crate::sys;

/// How a model is loaded into llama.cpp.
#[derive(Debug, Clone, Copy)]
pub struct GeneratorOptions {
    /// Where it computes.
    pub device: Device,
    /// Tokens that prompt and answer may have together.
    pub n_ctx: usize,
    /// Threads.
    pub n_threads: usize,
    /// Whether keys and values are F32 instead of llama.cpp's F16: slower, for comparisons.
    pub exact_attention: bool,
}

/// A model in llama.cpp, with or without an adapter.
pub struct Generator {
    // Fields are dropped in order: the context before its threads and the model it belongs to.
    context: Context,
    threads: Threads,
    n_ctx: usize,
    grammar: Option<CString>,
    model: LlamaModel,
}

struct Context(NonNull<sys::llama_context>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: created in `Generator::open`, freed once, before its model.
        unsafe { sys::llama_free(self.0.as_ptr()) }
    }
}

impl Generator {
    /// Loads `model`, and `adapter` as `llama-cli --lora` does.
    ///
    /// # Errors
    /// If either does not load.
    pub fn open(
        model: &Path,
        adapter: Option<&Path>,
        options: GeneratorOptions,
    ) -> Result<Self, LlamaError> {
        let model = LlamaModel::load(model, Some(options.device))?;
        let n_ctx = options.n_ctx;
        let size = u32::try_from(n_ctx).unwrap_or(u32::MAX);
        let fail = || LlamaError::Context { n_ctx, reason: sys::last_error() };
        let threads = Threads::new(options.n_threads).ok_or_else(fail)?;
        // SAFETY: the model is alive; the parameters are llama.cpp's defaults but for the sizes.
        let context = unsafe {
            let mut params = sys::llama_context_default_params();
            params.n_ctx = size;
            params.n_batch = size;
            params.n_threads = threads.n();
            params.n_threads_batch = threads.n();
            // Fused, it divides keys by the number of threads: an answer would depend on that.
            params.flash_attn_type = sys::LLAMA_FLASH_ATTN_TYPE_DISABLED;
            if options.exact_attention {
                params.type_k = sys::GGML_TYPE_F32;
                params.type_v = sys::GGML_TYPE_F32;
            }
            sys::llama_init_from_model(model.as_ptr(), params)
        };
        let context = Context(NonNull::new(context).ok_or_else(fail)?);
        // SAFETY: both are alive, and the context is dropped first.
        unsafe {
            let (context, threads) = (context.0.as_ptr(), threads.as_ptr());
            sys::llama_attach_threadpool(context, threads, threads);
        }
        let generator = Self { context, threads, n_ctx, grammar: None, model };
        if let Some(adapter) = adapter {
            generator.attach(adapter)?;
        }
        Ok(generator)
    }

    /// The adapter belongs to the model and is freed with it.
    fn attach(&self, path: &Path) -> Result<(), LlamaError> {
        let fail = |reason| LlamaError::Adapter { path: path.to_owned(), reason };
        let c_path = c_path(path).ok_or_else(|| fail("the path holds a NUL byte".into()))?;
        // SAFETY: model, context and path are alive; one adapter, one scale.
        unsafe {
            let adapter = sys::llama_adapter_lora_init(self.model.as_ptr(), c_path.as_ptr());
            let mut adapter =
                NonNull::new(adapter).ok_or_else(|| fail(sys::last_error()))?.as_ptr();
            let mut scale = 1.0;
            let context = self.context.0.as_ptr();
            match sys::llama_set_adapters_lora(context, &raw mut adapter, 1, &raw mut scale) {
                0 => Ok(()),
                _ => Err(fail(sys::last_error())),
            }
        }
    }

    /// Lets answers be nothing but what `grammar` says, in llama.cpp's notation (GBNF).
    ///
    /// # Errors
    /// A grammar that llama.cpp cannot read.
    pub fn constrain(&mut self, grammar: &str) -> Result<(), LlamaError> {
        let grammar = CString::new(grammar).map_err(|_| LlamaError::Grammar)?;
        Sampler::grammar(&self.model, &grammar).ok_or(LlamaError::Grammar)?;
        self.grammar = Some(grammar);
        Ok(())
    }

    /// Continues `prompt` until the model ends its turn, or `on_text` breaks off, which sees the text as
    /// it comes, token by token.
    ///
    /// # Errors
    /// If the prompt does not fit or decoding fails.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        sampling: &Sampling,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String, LlamaError> {
        let mut sampler = Sampler::new(sampling);
        if let Some(grammar) = &self.grammar {
            sampler = sampler.constrained(&self.model, grammar).ok_or(LlamaError::Grammar)?;
        }
        let mut text = Utf8Stream::default();
        self.clear();
        self.decode(prompt, 0, 1)?;
        let mut pace = Pace::new(self.threads.n());
        for n in 0..sampling.n_predict.min(self.room(prompt.len())) {
            // SAFETY: the latest decode asked for the logits of its last token.
            let token = unsafe {
                sys::llama_sampler_sample(sampler.as_ptr(), self.context.0.as_ptr(), -1) as u32
            };
            if self.model.is_end(token) && !sampling.ignore_eos {
                break;
            }
            if on_text(text.push(&self.model.piece(token))).is_break() {
                break;
            }
            self.decode(&[token], prompt.len() + n, 1)?;
            self.set_threads(pace.next());
        }
        self.set_threads(self.threads.n());
        let _ = on_text(text.finish());
        Ok(text.all)
    }

    /// Tokens that an answer to a prompt of this length may have at most.
    pub fn room(&self, n_prompt: usize) -> usize {
        self.n_ctx.saturating_sub(n_prompt)
    }

    /// Log-probability of every token of `response` after `prompt`, in nats, as llama.cpp computes
    /// them.
    ///
    /// # Errors
    /// If the tokens do not fit or decoding fails.
    pub fn log_probs(&mut self, prompt: &[u32], response: &[u32]) -> Result<Vec<f64>, LlamaError> {
        self.clear();
        let mut tokens = [prompt, response].concat();
        tokens.pop();
        self.decode(&tokens, 0, response.len())?;
        // SAFETY: the vocabulary is alive.
        let n_vocab = unsafe { sys::llama_vocab_n_tokens(self.model.vocab()) } as usize;
        let log_prob = |(i, &label): (usize, &u32)| {
            // SAFETY: the decode asked for the logits of these positions, counted in the batch.
            let row = unsafe {
                let at = (prompt.len() - 1 + i) as i32;
                let logits = sys::llama_get_logits_ith(self.context.0.as_ptr(), at);
                std::slice::from_raw_parts(logits, n_vocab)
            };
            f64::from(row[label as usize]) - log_sum_exp(row)
        };
        Ok(response.iter().enumerate().map(log_prob).collect())
    }

    /// Threads for the next decoding; prompts are read with all of them.
    fn set_threads(&self, n: i32) {
        // SAFETY: the context is alive; it has threads enough.
        unsafe { sys::llama_set_n_threads(self.context.0.as_ptr(), n, self.threads.n()) }
    }

    fn clear(&mut self) {
        // SAFETY: the context is alive.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.context.0.as_ptr()), true) }
    }

    /// Reads `tokens` from position `start` on, and computes logits for the last `n_logits`.
    fn decode(&mut self, tokens: &[u32], start: usize, n_logits: usize) -> Result<(), LlamaError> {
        let n_tokens = start + tokens.len();
        if n_tokens > self.n_ctx || tokens.is_empty() {
            return Err(LlamaError::TooLong { n_tokens, n_ctx: self.n_ctx });
        }
        // SAFETY: the batch has room for every token with one sequence each, and every field up to
        // `n_tokens` is written before it is read.
        let status = unsafe {
            let mut batch = sys::llama_batch_init(tokens.len() as i32, 0, 1);
            batch.n_tokens = tokens.len() as i32;
            for (i, &token) in tokens.iter().enumerate() {
                *batch.token.add(i) = token as i32;
                *batch.pos.add(i) = (start + i) as i32;
                *batch.n_seq_id.add(i) = 1;
                **batch.seq_id.add(i) = 0;
                *batch.logits.add(i) = i8::from(i + n_logits >= tokens.len());
            }
            let status = sys::llama_decode(self.context.0.as_ptr(), batch);
            sys::llama_batch_free(batch);
            status
        };
        if status == 0 {
            return Ok(());
        }
        Err(LlamaError::Decode { status, reason: sys::last_error() })
    }
}
