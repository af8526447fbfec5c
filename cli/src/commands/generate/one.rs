//! An answer to one prompt, before and after.

use std::io::{Read, stdin};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cutq_core::example::{Example, Message};
use cutq_core::template::Template;
use cutq_ffi::{Generator, GeneratorOptions, Gguf, Now, Sampling};
use serde::Serialize;

use crate::console::Console;
use crate::data::Encode;
use crate::flags::{GenerateArgs, no_meaning};
use crate::output;
use crate::session::model::{device, threads};
use crate::text;
use crate::usage::UsageError;

/// What `--json` prints.
#[derive(Serialize)]
struct Answers {
    prompt: String,
    /// Without the adapter, with `--compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    response: String,
}

/// Runs the command on `prompt`, or on standard input for `-`.
pub(super) fn generate(args: &GenerateArgs, prompt: &str) -> Result<ExitCode> {
    let sampling = sampling(args)?;
    let gguf = Gguf::open(&args.model).context("cannot open the model")?;
    let (asked, tokenizer) = (args.template.as_ref(), args.tokenizer.as_deref());
    let (template, encoder) = text::open(&gguf, asked, tokenizer, Now::local())?;
    let prompt = text_of(prompt)?;
    let pieces = template
        .prompt(&example(args, &prompt), None)
        .context("the template cannot render the prompt")?;
    let tokens = encoder.prompt(&pieces).context("the tokenizer cannot encode the prompt")?;

    let n_ctx = n_ctx(&gguf, tokens.len() + args.sampling.n_predict);
    let n_threads = threads(args.device.threads, Console::default());
    let device = device(&args.device.name, n_threads, Console::default())?;
    let answer = |adapter: Option<&Path>, heading: &str| {
        let options = GeneratorOptions { device, n_ctx, n_threads, exact_attention: false };
        let generator = Generator::open(&args.model, adapter, options);
        let generator = generator.context("cannot start llama.cpp")?;
        answer(args, generator, &tokens, &sampling, heading)
    };
    let before = args.compare.then(|| answer(None, "before")).transpose()?;
    let response = answer(args.adapter.as_deref(), "after")?;
    if args.json {
        let answers = Answers { prompt, before, response };
        output::print_json(&answers)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text_of(prompt: &str) -> Result<String> {
    if prompt != "-" {
        return Ok(prompt.to_owned());
    }
    let mut text = String::new();
    stdin().read_to_string(&mut text).context("cannot read the prompt from standard input")?;
    Ok(text.trim_end().to_owned())
}

fn example(args: &GenerateArgs, prompt: &str) -> Example {
    let system = args.system.as_deref().map(|text| Message::new("system", text));
    let messages = system.into_iter().chain([Message::new("user", prompt)]).collect();
    Example::from_messages(messages, "", None)
}

/// How to sample; flags that change nothing are refused.
fn sampling(args: &GenerateArgs) -> Result<Sampling, UsageError> {
    let chosen = args.sampling.resolve(0.0)?;
    if args.seed.is_some() && chosen.temperature == 0.0 {
        return Err(no_meaning("--seed"));
    }
    for (is_given, flag) in [
        (chosen.min_p > 0.0, "--min-p"),
        (chosen.repeat_penalty != 1.0, "--repeat-penalty"),
        (args.memory.memory.is_some(), "--memory"),
    ] {
        if is_given {
            return Err(UsageError::new(format!("{flag} needs --data: one answer is llama.cpp's")));
        }
    }
    Ok(Sampling {
        n_predict: args.sampling.n_predict,
        temperature: chosen.temperature as f32,
        top_p: chosen.top_p as f32,
        top_k: chosen.top_k,
        seed: args.seed.unwrap_or(42),
        ignore_eos: false,
    })
}

/// Room for `wanted` tokens, but no more than the model was trained for.
fn n_ctx(gguf: &Gguf, wanted: usize) -> usize {
    gguf.context_length().map_or(wanted, |n| n.min(wanted))
}

/// One answer, printed as it comes unless it goes into JSON.
fn answer(
    args: &GenerateArgs,
    mut generator: Generator,
    tokens: &[u32],
    sampling: &Sampling,
    heading: &str,
) -> Result<String> {
    if args.compare && !args.json {
        output::print(format_args!("--- {heading}\n"))?;
    }
    let mut written = Ok(());
    let response = generator.generate(tokens, sampling, &mut |piece: &str| {
        if !args.json && written.is_ok() {
            written = output::print(piece);
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    if !args.json {
        output::print("\n")?;
    }
    Ok(response)
}
