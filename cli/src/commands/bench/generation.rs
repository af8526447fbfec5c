//! How fast a model generates.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cutq_ffi::{Generator, GeneratorOptions, Sampling};

use crate::console::Console;
use crate::flags::BenchArgs;
use crate::session::model::{ModelFile, device, threads};

/// What there is to continue: any token of any vocabulary.
const PROMPT: [u32; 1] = [1];

/// Tokens per second of one stream behind its first token, by way of llama.cpp; none unless asked
/// for.
pub fn tok_per_s(args: &BenchArgs, model: &ModelFile) -> Result<Option<f64>> {
    let n = args.n_gen as usize;
    if n == 0 {
        return Ok(None);
    }
    let n_threads = threads(args.device.threads, Console::new(true));
    let device = device(&args.device.name, n_threads, Console::new(true))?;
    let n_ctx = PROMPT.len() + n + 1;
    let options = GeneratorOptions { device, n_ctx, n_threads, exact_attention: false };
    let mut generator = Generator::open(model.gguf.path(), None, options)
        .context("cannot start llama.cpp to generate")?;
    let sampling = Sampling {
        n_predict: n + 1,
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        seed: 0,
        ignore_eos: true,
    };
    let mut times = Vec::with_capacity(n + 2);
    let mut on_text = |_: &str| {
        times.push(Instant::now());
        ControlFlow::Continue(())
    };
    generator.generate(&PROMPT, &sampling, &mut on_text)?;
    // A call for each token, and one for what is left of the last character.
    ensure!(times.len() == n + 2, "{} of {} tokens were generated", times.len() - 1, n + 1);
    Ok(Some(n as f64 / (times[n] - times[0]).as_secs_f64()))
}
