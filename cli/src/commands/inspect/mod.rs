//! `cutq inspect`: which tokens of a response a judgment makes inappropriate.

mod line;
mod view;

use std::process::ExitCode;

use anyhow::Result;
use cutq_core::group::Group;
use cutq_core::model::Mode;
use cutq_core::objective::Objective;
use cutq_core::trainer::{QuoteCounts, evaluate_examples, micro_batches};
use cutq_ffi::Now;

use self::line::InspectLine;
use self::view::View;
use crate::console::Console;
use crate::data::{self, Loaded, Record, Tokenize};
use crate::flags::InspectArgs;
use crate::output;
use crate::run::Reading;
use crate::session::budget::MICRO_BATCH;
use crate::session::model::{ModelFile, device, threads};
use crate::text;

/// Runs the command.
pub fn inspect(args: &InspectArgs) -> Result<ExitCode> {
    let console = Console::default();
    let objective = args.objective.resolve()?;
    let model = ModelFile::open(&args.model)?;
    let max_length = model.max_length(args.prompt.max_length)?;
    let (template, encoder) = text::open(
        &model.gguf,
        args.prompt.template.as_ref(),
        args.prompt.tokenizer.as_deref(),
        Now::local(),
    )?;
    template.warn_of_lost_turns(console);
    let adapter = model.adapter_or_none(args.adapter.as_deref())?;
    let screening = args.screen.screening(None, 0);
    let mut loaded = Loaded::load(&args.data, args.read.reading(), &screening, console)?;
    let tokenize = Tokenize {
        encode: &encoder,
        template: &template,
        objective: &objective,
        max_length,
        context_length: model.architecture.context_length,
        on_long: args.prompt.on_long,
        skip_refused: args.read.skip_bad_lines,
    };
    let groups = loaded.tokenize(&tokenize, console)?;
    console.note(data::View { report: &loaded.report, samples: false });

    let engine_args = &args.engine;
    let threads = threads(engine_args.device.threads, console);
    let device = device(&engine_args.device.name, threads, console)?;
    let mut engine = model.engine(adapter, device, threads, engine_args.precision)?;
    let mut show = Show::new(args, &loaded.records);
    let groups: Vec<&Group> = groups.iter().collect();
    let mut quotes = QuoteCounts::default();
    let max_tokens = engine_args.micro_batch.unwrap_or(MICRO_BATCH);
    for batch in micro_batches(&objective, &groups, max_tokens) {
        let evaluated = evaluate_examples(&objective, &mut engine, batch, Mode::Eval)?;
        for (group, example) in batch.iter().zip(evaluated) {
            quotes.add(group, objective.contexts(group.is_judged()), &example.loss);
            show.example(InspectLine::new(group, example, &encoder))?;
        }
    }
    if quotes.quoted > 0 {
        console.note(Reading(quotes));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where and how examples are shown.
struct Show<'a> {
    json: bool,
    view: View,
    records: &'a [Record],
}

impl<'a> Show<'a> {
    fn new(args: &InspectArgs, records: &'a [Record]) -> Self {
        let view = View { color: output::has_color(), probs: args.probs };
        Self { json: args.json, view, records }
    }

    fn example(&mut self, line: InspectLine) -> Result<()> {
        if self.json {
            return output::print_json(&line);
        }
        let text = self.view.example(&line, &self.records[line.index]);
        output::print(format_args!("{text}\n"))
    }
}
