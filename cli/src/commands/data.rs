//! `cutq data`: how data is understood.

use std::process::ExitCode;

use anyhow::Result;
use cutq_core::context::Contexts;
use cutq_core::objective::Cut;
use cutq_core::prompts;
use cutq_ffi::Now;
use serde::Serialize;

use crate::console::Console;
use crate::data::{Encode, Loaded, Record, Report, Tokenize, View};
use crate::flags::DataArgs;
use crate::output;
use crate::session::model::ModelFile;
use crate::text;

/// Runs the command.
pub fn data(args: &DataArgs) -> Result<ExitCode> {
    let screening = args.screen.screening(None, 0);
    let console = Console::default();
    let mut loaded = Loaded::load(&args.files, args.read.reading(), &screening, console)?;
    let prompts = match &args.model {
        Some(path) => Some(with_model(args, &ModelFile::open(path)?, &mut loaded, console)?),
        None => None,
    };
    let report = &loaded.report;
    match args.json {
        true => output::print_json(&Shown { report, prompts })?,
        false => {
            output::print(format_args!("{}\n", View { report, samples: true }))?;
            prompts.iter().try_for_each(print)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(flatten)]
    prompts: Option<Prompts>,
}

/// The prompts of one example, special tokens between `⟦` and `⟧`.
#[derive(Serialize)]
struct Prompts {
    /// File and line.
    origin: String,
    plain_prompt: String,
    judged_prompt: Option<String>,
    /// The response and what ends it.
    response: String,
}

/// What becomes of the examples for a model, and the prompts of the first judged one.
fn with_model(
    args: &DataArgs,
    model: &ModelFile,
    loaded: &mut Loaded,
    console: Console,
) -> Result<Prompts> {
    let (template, encoder) = text::open(
        &model.gguf,
        args.prompt.template.as_ref(),
        args.prompt.tokenizer.as_deref(),
        Now::local(),
    )?;
    template.warn_of_lost_turns(console);
    let tokenize = Tokenize {
        encode: &encoder,
        template: &template,
        objective: &Cut::paper(),
        max_length: model.max_length(args.prompt.max_length)?,
        context_length: model.architecture.context_length,
        on_long: args.prompt.on_long,
        skip_refused: args.read.skip_bad_lines,
    };
    loaded.tokenize(&tokenize, console)?;
    let records = &loaded.records;
    let judged = records.iter().find(|record| record.example.is_judged());
    let Record { example, origin } = judged.unwrap_or(&records[0]);
    let contexts = prompts::render(example, &template, Contexts::BOTH)?;
    let shown = |ids: Vec<u32>| -> String { ids.into_iter().map(|id| encoder.shown(id)).collect() };
    let contexts =
        contexts.try_map(|pieces| pieces.map(|pieces| encoder.prompt(&pieces)).transpose())?;
    Ok(Prompts {
        origin: origin.to_string(),
        plain_prompt: contexts.plain.map(shown).unwrap_or_default(),
        judged_prompt: contexts.judged.map(shown),
        response: shown(encoder.response(&example.response)?),
    })
}

fn print(prompts: &Prompts) -> Result<()> {
    let Prompts { origin, plain_prompt, judged_prompt, response } = prompts;
    let judged = judged_prompt.iter().map(|prompt| ("judged prompt", prompt));
    output::print(format_args!("\n{origin}, special tokens as ⟦…⟧\n"))?;
    let texts = [("plain prompt", plain_prompt)].into_iter().chain(judged);
    for (name, text) in texts.chain([("response", response)]) {
        output::print(format_args!("--- {name}\n{text}\n"))?;
    }
    Ok(())
}
