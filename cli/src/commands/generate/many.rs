//! Answers to every prompt of a file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use cutq_core::example::Message;
use cutq_ffi::{Gguf, Now};
use serde::Serialize;

use crate::console::Console;
use crate::data::{Prompt, Prompts};
use crate::flags::{GenerateArgs, PrecisionName, no_meaning};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::run::InputFile;
use crate::sampling::{Batch, Outcome, PartFile, Sampler, SamplerOptions, Sampling, Task};
use crate::session::model::{ModelFile, threads};
use crate::text::{self, TemplateName};
use crate::usage::UsageError;

/// Everything that the answers depend on: the first line of `OUT.part`.
#[derive(Serialize)]
struct Settings {
    cutq: &'static str,
    model: InputFile,
    adapter: Option<InputFile>,
    data: InputFile,
    template: String,
    template_file: Option<InputFile>,
    tokenizer: Option<InputFile>,
    /// What the template is told as the time.
    now: String,
    system: Option<String>,
    n_samples: usize,
    n_predict: usize,
    seed: u64,
    sampling: Sampling,
}

/// Runs the command on the prompts in `data`.
pub(super) fn generate(args: &GenerateArgs, data: &Path, out: &Path) -> Result<ExitCode> {
    let console = Console::new(args.batch.quiet);
    let sampling = sampling(args)?;
    let prompts = prompts(args, data, console)?;
    let model = ModelFile::open(&args.model)?;
    let settings = settings(args, (data, out), &model.gguf, sampling)?;
    let template: TemplateName = settings.template.parse().unwrap_or_else(|never| match never {});
    let now: Now = settings.now.parse()?;
    let text = text::open(&model.gguf, Some(&template), args.tokenizer.as_deref(), now)?;
    text.0.warn_of_lost_turns(console);
    let n_threads = threads(args.device.threads, console);
    refuse_other_devices(&args.device.name)?;
    let options = SamplerOptions {
        n_threads,
        precision: PrecisionName::Int8,
        n_predict: args.sampling.n_predict,
        n_parallel: args.batch.n_parallel,
        memory: args.memory.memory,
    };
    let batch = Batch {
        tasks: &Task::of(&prompts, settings.n_samples),
        sampling,
        seed: settings.seed,
        adapter: args.adapter.as_deref().and_then(Path::to_str),
        header: &serde_json::to_value(&settings)?,
    };
    let interrupt = Interrupt::listen(console, "saving the answers that are finished")?;
    let mut sampler = Sampler::open(&model, args.adapter.as_deref(), text, options)?;
    match batch.run(&mut sampler, out, console, &|| interrupt.is_asked())? {
        Outcome::Done(totals) => {
            console.note(format_args!("{totals}\nanswers: {}", out.display()));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted => {
            let part = PartFile::path_of(out);
            console.warn(format_args!(
                "interrupted; the answers so far are in {}\nhint: the same command goes on with them",
                part.display()
            ));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// The engine draws many answers on the CPU only.
fn refuse_other_devices(name: &str) -> Result<(), UsageError> {
    match name {
        "auto" | "cpu" => Ok(()),
        name => Err(UsageError::new(format!(
            "--device {name}: answers to many prompts are drawn on the CPU so far"
        ))),
    }
}

/// How to sample; flags that change nothing are refused.
fn sampling(args: &GenerateArgs) -> Result<Sampling, UsageError> {
    let sampling = args.sampling.resolve(0.0)?;
    let given = [(args.seed.is_some(), "--seed"), (args.batch.n_samples.is_some(), "--n-samples")];
    match given.into_iter().find(|(is_given, _)| *is_given && sampling.temperature == 0.0) {
        Some((_, flag)) => Err(no_meaning(flag)),
        None => Ok(sampling),
    }
}

/// The prompts of the file, after the system message asked for.
fn prompts(args: &GenerateArgs, data: &Path, console: Console) -> Result<Vec<Prompt>> {
    let Prompts { mut prompts, unused } = Prompts::read(data)?;
    console.note(format_args!("{} prompts", prompts.len()));
    if !unused.is_empty() {
        let unused: Vec<_> = unused.iter().map(|(name, n)| format!("{name} ({n})")).collect();
        console.note(format_args!("  fields not used: {}", unused.join(", ")));
    }
    let Some(system) = &args.system else {
        return Ok(prompts);
    };
    for Prompt { id, example } in &mut prompts {
        if example.messages.first().is_some_and(|message| message.role == "system") {
            let reason = format!("--system: prompt {id:?} has a system message of its own");
            return Err(UsageError::new(reason).into());
        }
        example.messages.insert(0, Message::new("system", system.as_str()));
    }
    Ok(prompts)
}

fn settings(
    args: &GenerateArgs,
    (data, out): (&Path, &Path),
    gguf: &Gguf,
    sampling: Sampling,
) -> Result<Settings> {
    let template = args.template.clone().unwrap_or_else(|| TemplateName::of(gguf));
    let template_file = match &template {
        TemplateName::File(path) => Some(InputFile::whole(path)?),
        _ => None,
    };
    // Answers that were begun yesterday go on under yesterday's date.
    let begun = PartFile::header(out)?;
    let now = begun.as_ref().and_then(|header| header["now"].as_str()).map(str::to_owned);
    Ok(Settings {
        cutq: env!("CARGO_PKG_VERSION"),
        model: InputFile::head(&args.model)?,
        adapter: args.adapter.as_deref().map(InputFile::whole).transpose()?,
        data: InputFile::whole(data)?,
        template: template.to_string(),
        template_file,
        tokenizer: args.tokenizer.as_deref().map(InputFile::whole).transpose()?,
        now: now.unwrap_or_else(|| Now::local().to_string()),
        system: args.system.clone(),
        n_samples: args.batch.n_samples.unwrap_or(1),
        n_predict: args.sampling.n_predict,
        seed: u64::from(args.seed.unwrap_or(42)),
        sampling,
    })
}
