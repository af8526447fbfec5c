//! How fast a model answers many prompts at a time.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::Result;
use cutq_core::order::permutation;
use cutq_ffi::{Adapter, Choice, LoraConfig, SampleRequest};

use crate::console::Console;
use crate::flags::{BenchArgs, target_modules};
use crate::sampling;
use crate::session::model::{ModelFile, device, threads};

/// Tokens of a prompt, and of its answer.
const TOKENS: usize = 128;

const SEED: u64 = 42;

/// Tokens per second, read and drawn, of prompts that are answered at the same time; none unless
/// asked for. Drawn as rounds draw them, with an adapter and at temperature 1; prompts share nothing.
pub fn tok_per_s(args: &BenchArgs, model: &ModelFile) -> Result<Option<f64>> {
    let n_parallel = args.n_parallel;
    if n_parallel == 0 {
        return Ok(None);
    }
    let n_threads = threads(args.device.threads, Console::new(true));
    let device = device(&args.device.name, n_threads, Console::new(true))?;
    let target_modules = target_modules(&args.target_modules)?;
    let config = LoraConfig { r: 16, lora_alpha: 16.0, lora_dropout: 0.0, target_modules };
    let adapter = Adapter::init(&model.gguf, &model.architecture, config, SEED);
    let mut engine = model.engine(adapter, device, n_threads, args.precision)?;
    let requests = requests(n_parallel, model.architecture.n_vocab);
    let options = sampling::plan(&mut engine, &requests, args.memory.memory, Some(n_parallel))?;
    let choice = Choice { temperature: 1.0, ..Choice::GREEDY };
    let mut seconds = |requests: &[SampleRequest]| -> Result<f64> {
        let started = Instant::now();
        let mut done = |_, _| ControlFlow::Continue(());
        engine.sample(requests, &choice, options, &[], &|| false, &mut done)?;
        Ok(started.elapsed().as_secs_f64())
    };
    // Warms up, and makes the panels.
    seconds(&[SampleRequest { max_tokens: 1, ..requests[0].clone() }])?;
    Ok(Some((n_parallel * 2 * TOKENS) as f64 / seconds(&requests)?))
}

/// Prompts of random tokens.
fn requests(n: usize, n_vocab: usize) -> Vec<SampleRequest> {
    let mut ids = permutation(n_vocab, SEED, 0).into_iter().cycle().map(|id| id as u32);
    let request = |seed: usize| SampleRequest {
        prompt: ids.by_ref().take(TOKENS).collect(),
        seed: seed as u64,
        max_tokens: TOKENS,
    };
    (0..n).map(request).collect()
}
