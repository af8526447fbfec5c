//! `cutq plan`: a run's memory and speed, estimated before it starts.

use std::process::ExitCode;

use anyhow::Result;
use cutq_ffi::{Adapter, Demand, LoraConfig};
use serde::Serialize;

use crate::console::Console;
use crate::flags::{PlanArgs, target_modules};
use crate::output;
use crate::session::PlanFigures;
use crate::session::budget::{self, MICRO_BATCH};
use crate::session::memory;
use crate::session::model::{ModelFile, device, threads};

/// What the command prints.
#[derive(Serialize)]
struct Forecast {
    model: String,
    device: String,
    threads: usize,
    max_length: usize,
    train_tok_per_s: f64,
    #[serde(flatten)]
    plan: PlanFigures,
}

/// Runs the command.
pub fn plan(args: &PlanArgs) -> Result<ExitCode> {
    let target_modules = target_modules(&args.target_modules)?;
    let model = ModelFile::open(&args.model)?;
    let longest = model.max_length(args.max_length)?;
    let config = LoraConfig { r: args.r, lora_alpha: 1.0, lora_dropout: 0.0, target_modules };
    let threads = threads(args.engine.device.threads, Console::default());
    let device = device(&args.engine.device.name, threads, Console::default())?;
    let demand = Demand {
        largest: longest * usize::from(args.contexts),
        longest,
        micro_batch: args.engine.micro_batch.unwrap_or(MICRO_BATCH),
        fixed: args.engine.micro_batch.is_some(),
        optimizer_bytes: args.optimizer.bytes_per_parameter(),
        program: memory::program(),
    };
    let adapter = Adapter::init(&model.gguf, &model.architecture, config, 0);
    let mut engine = model.engine(adapter, device, threads, args.engine.precision)?;
    let plan = budget::plan(&mut engine, demand, args.memory.memory)?;
    let rates = engine.probe(plan.micro_batch.max(demand.largest).min(MICRO_BATCH), longest)?;
    let forecast = Forecast {
        model: args.model.display().to_string(),
        device: device.name(),
        threads,
        max_length: longest,
        train_tok_per_s: plan.tok_per_s(&rates),
        plan: PlanFigures::new(&plan, &engine),
    };
    output::print_as(args.json, &forecast, || forecast.table())?;
    Ok(ExitCode::SUCCESS)
}

impl Forecast {
    fn table(&self) -> String {
        let what = "training, as measured on two layers";
        format!("{}{what:42} {:6.0} tok/s\n", self.plan.table(), self.train_tok_per_s)
    }
}
