//! `cutq bench`: how fast a model is read and trained here, and in how much memory.

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use cutq_core::group::Group;
use cutq_core::objective::Mle;
use cutq_core::optimizer::Optimizer;
use cutq_core::order::permutation;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions};
use cutq_ffi::{Adapter, Engine, LoraConfig, Module};
use serde::Serialize;

use super::model::{ModelFile, threads};
use crate::args::BenchArgs;
use crate::settings::PrecisionName;
use crate::usage::UsageError;

const SEED: u64 = 42;
/// Small enough not to diverge, large enough for the loss to fall within a few steps.
const LR: f64 = 1e-3;

/// What is measured.
#[derive(Serialize)]
struct Figures {
    model: String,
    tokens: usize,
    batch: usize,
    repetitions: usize,
    threads: usize,
    precision: PrecisionName,
    target_modules: Vec<String>,
    read_tok_per_s: f64,
    train_tok_per_s: f64,
    loss_first: f64,
    loss_last: f64,
    /// Memory mapped files included; none where the system does not tell.
    peak_rss_bytes: Option<u64>,
    /// Memory of this process alone, at the end.
    anonymous_bytes: Option<u64>,
}

/// Runs the command.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    let modules = Module::parse_list(&args.target_modules)
        .map_err(|error| UsageError::new(format!("--target-modules: {error}")))?;
    let model = ModelFile::open(&args.model)?;
    let (tokens, context) = (args.tokens as usize, model.architecture.context_length);
    if tokens > context {
        return Err(UsageError::new(format!(
            "--tokens {tokens} is more than the model's context, which holds {context}"
        ))
        .into());
    }
    let figures = measure(args, &model, modules)?;
    match args.json {
        true => println!("{}", serde_json::to_string(&figures)?),
        false => print_table(&figures),
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &BenchArgs, model: &ModelFile, modules: Vec<Module>) -> Result<Figures> {
    let threads = threads(args.threads);
    let tokens = args.tokens as usize;
    let config =
        LoraConfig { r: 16, lora_alpha: 16.0, lora_dropout: 0.0, target_modules: modules.clone() };
    let adapter = Adapter::init(&model.gguf, &model.architecture, config, SEED);
    let mut engine = model.engine(adapter, threads, args.precision)?;
    let groups = random_groups(args.batch, tokens, model.architecture.n_vocab);
    let groups: Vec<&Group> = groups.iter().collect();
    let mut trainer = Trainer::new(Mle, options(args, tokens)?);

    let reading = median_seconds(args.repetitions, || {
        trainer.evaluate(&mut engine, &groups)?;
        Ok(())
    })?;
    let mut losses = Vec::new();
    let training = median_seconds(args.repetitions, || {
        losses.push(step(&mut trainer, &mut engine, &groups)?);
        Ok(())
    })?;
    let (loss_first, loss_last) = (losses[0], losses[losses.len() - 1]);
    if loss_last >= loss_first {
        bail!("training does not work here: the loss went from {loss_first} to {loss_last}");
    }
    let per_step = (args.batch * tokens) as f64;
    Ok(Figures {
        model: args.model.display().to_string(),
        tokens,
        batch: args.batch,
        repetitions: args.repetitions,
        threads,
        precision: args.precision,
        target_modules: modules.iter().map(Module::to_string).collect(),
        read_tok_per_s: per_step / reading,
        train_tok_per_s: per_step / training,
        loss_first,
        loss_last,
        peak_rss_bytes: memory("VmHWM:"),
        anonymous_bytes: memory("RssAnon:"),
    })
}

fn options(args: &BenchArgs, tokens: usize) -> Result<TrainerOptions> {
    Ok(TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Constant, LR, 0.0, 1)?,
        max_grad_norm: 1.0,
        micro_batch_tokens: args.batch * tokens,
        seed: SEED,
    })
}

/// One training step; the trainer itself checks that every value is finite and every tensor learns.
fn step(trainer: &mut Trainer<Mle>, engine: &mut Engine, groups: &[&Group]) -> Result<f64> {
    Ok(trainer.step(engine, groups)?.loss)
}

/// Sequences of random ids, the second half of each being targets.
fn random_groups(batch: usize, tokens: usize, n_vocab: usize) -> Vec<Group> {
    let mut ids = permutation(n_vocab, SEED, 0).into_iter().cycle().map(|id| id as u32);
    let mut take = |count: usize| -> Vec<u32> { ids.by_ref().take(count).collect() };
    (0..batch)
        .map(|index| Group {
            index,
            prompt: take(tokens - tokens / 2),
            judged_prompt: None,
            contrast_prompt: None,
            response: take(tokens / 2),
            ends_with_eos: false,
        })
        .collect()
}

/// The median of several runs, after one that warms up.
fn median_seconds(repetitions: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut seconds = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        let started = Instant::now();
        run()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let middle = repetitions / 2;
    Ok(match repetitions % 2 {
        1 => seconds[middle],
        _ => (seconds[middle - 1] + seconds[middle]) / 2.0,
    })
}

/// A line of Linux's account of this process, in bytes.
fn memory(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn print_table(figures: &Figures) {
    let mib = |bytes: Option<u64>| match bytes {
        Some(bytes) => format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)),
        None => "unknown".to_owned(),
    };
    println!("reading    {:8.1} tok/s", figures.read_tok_per_s);
    println!("training   {:8.1} tok/s", figures.train_tok_per_s);
    println!("peak memory     {} (the model's file included)", mib(figures.peak_rss_bytes));
    println!("own memory      {}", mib(figures.anonymous_bytes));
    println!("loss       {:.4} → {:.4}", figures.loss_first, figures.loss_last);
    println!(
        "{} × {} tokens, half of them targets; {} threads; median of {}",
        figures.batch, figures.tokens, figures.threads, figures.repetitions
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_leaves_out_the_warm_up() {
        let mut calls = 0;
        let seconds = median_seconds(4, || {
            calls += 1;
            Ok(())
        })
        .expect("nothing fails");
        assert_eq!(calls, 5);
        assert!((0.0..1.0).contains(&seconds));
    }

    #[test]
    fn half_of_the_tokens_are_targets() {
        let groups = random_groups(2, 9, 100);
        let (prompt, response) = (&groups[1].prompt, &groups[1].response);
        assert_eq!((prompt.len(), response.len()), (5, 4));
        assert_ne!(groups[0].prompt, *prompt);
        assert!(prompt.iter().chain(response).all(|&id| id < 100));
    }
}
