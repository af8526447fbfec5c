//! Measuring one model.

use std::path::Path;

use anyhow::{Result, bail};
use cutq_core::context::PerContext;
use cutq_core::group::Group;
use cutq_core::objective::Mle;
use cutq_core::optimizer::Optimizer;
use cutq_core::order::permutation;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions};
use cutq_ffi::{Adapter, Demand, LoraConfig, Projection, TensorInfo};

use super::figures::{Figures, phases};
use super::generation;
use super::memory::Watch;
use super::operations::Operations;
use super::sample::{median, repeat};
use super::sampling;
use crate::console::Console;
use crate::flags::{BenchArgs, OptimizerName, target_modules};
use crate::session::PlanFigures;
use crate::session::budget;
use crate::session::memory;
use crate::session::model::{ModelFile, device, threads};
use crate::usage::UsageError;

const SEED: u64 = 42;
/// Small enough not to diverge, large enough for the loss to fall within a few steps.
const LR: f64 = 1e-3;

/// The figures of the model at `path`.
pub fn measure(args: &BenchArgs, path: &Path) -> Result<Figures> {
    let modules = target_modules(&args.target_modules)?;
    let watch = Watch::start();
    let model = ModelFile::open(path)?;
    let (tokens, context) = (args.tokens as usize, model.architecture.context_length);
    if tokens > context {
        return Err(UsageError::new(format!(
            "--tokens {tokens} is more than the model's context, which holds {context}"
        ))
        .into());
    }
    let figures = run(args, &model, modules)?.with_peak(watch.stop());
    // After the engine is gone: neither time nor memory of the three mix.
    Ok(Figures {
        generate_tok_per_s: generation::tok_per_s(args, &model)?,
        sample_tok_per_s: sampling::tok_per_s(args, &model)?,
        ..figures
    })
}

fn run(args: &BenchArgs, model: &ModelFile, modules: Vec<Projection>) -> Result<Figures> {
    let (threads, tokens, shape) = (
        threads(args.device.threads, Console::default()),
        args.tokens as usize,
        &model.architecture,
    );
    let modules = shape.targets(&modules);
    let config =
        LoraConfig { r: 16, lora_alpha: 16.0, lora_dropout: 0.0, target_modules: modules.clone() };
    let device = device(&args.device.name, threads, Console::default())?;
    let demand = Demand {
        largest: tokens,
        longest: tokens,
        micro_batch: args.micro_batch.unwrap_or(args.batch * tokens),
        fixed: args.micro_batch.is_some(),
        optimizer_bytes: OptimizerName::Adamw.bytes_per_parameter(),
        program: memory::program(),
    };
    let adapter = Adapter::init(&model.gguf, shape, config, SEED);
    let mut engine = model.engine(adapter, device, threads, args.precision)?;
    let groups = random_groups(args.batch, tokens, shape.n_vocab);
    let groups: Vec<&Group> = groups.iter().collect();
    let plan = budget::plan(&mut engine, demand, args.memory.memory)?;
    let mut trainer = Trainer::new(Mle, options(plan.micro_batch)?);

    let reading = repeat(args.repetitions, || {
        trainer.evaluate(&mut engine, &groups)?;
        Ok(engine.take_timings())
    })?;
    let mut losses = Vec::new();
    let training = repeat(args.repetitions, || {
        // The trainer itself checks that every value is finite and every tensor learns.
        losses.push(trainer.step(&mut engine, &groups)?.loss);
        Ok(engine.take_timings())
    })?;
    let (loss_first, loss_last) = (losses[0], losses[losses.len() - 1]);
    if loss_last >= loss_first {
        bail!("training does not work here: the loss went from {loss_first} to {loss_last}");
    }

    let peak_device_bytes = budget::device_peak(&engine, &plan)?;
    // The last token of a sequence is predicted, not read.
    let read = args.batch * (tokens - 1);
    let operations = Operations::new(shape, &modules, read, args.batch * (tokens / 2));
    let Operations { forward, head, backward } = operations;
    let (per_step, seconds) = ((args.batch * tokens) as f64, [&reading, &training]);
    let [read_seconds, train_seconds] = seconds.map(|samples| median(samples, |s| s.seconds));
    let elements = |info: &TensorInfo| info.ne.iter().product::<usize>() as u64;
    Ok(Figures {
        model: model.gguf.path().display().to_string(),
        model_bytes: std::fs::metadata(model.gguf.path())?.len(),
        n_params: model.gguf.tensors().values().map(elements).sum(),
        tokens,
        batch: args.batch,
        device: device.name(),
        simd: engine.level().map(|level| level.to_string()),
        threads,
        precision: args.precision,
        target_modules: modules.iter().map(Projection::to_string).collect(),
        read_tok_per_s: per_step / read_seconds,
        train_tok_per_s: per_step / train_seconds,
        generate_tok_per_s: None,
        n_parallel: args.n_parallel,
        sample_tok_per_s: None,
        read_gops: (forward + head) / read_seconds / 1e9,
        train_gops: (forward + 2.0 * head + backward) / train_seconds / 1e9,
        read_seconds: reading.iter().map(|s| s.seconds).collect(),
        train_seconds: training.iter().map(|s| s.seconds).collect(),
        phases: phases(&training, &operations),
        loss_first,
        loss_last,
        plan: PlanFigures::new(&plan, &engine),
        peak_rss_bytes: None,
        peak_anon_bytes: None,
        peak_file_bytes: None,
        peak_device_bytes,
    })
}

fn options(micro_batch_tokens: usize) -> Result<TrainerOptions> {
    Ok(TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Constant, LR, 0.0, 1)?,
        max_grad_norm: 1.0,
        micro_batch_tokens,
        seed: SEED,
    })
}

/// Sequences of random ids, the second half of each being targets.
fn random_groups(batch: usize, tokens: usize, n_vocab: usize) -> Vec<Group> {
    let mut ids = permutation(n_vocab, SEED, 0).into_iter().cycle().map(|id| id as u32);
    let mut take = |count: usize| -> Vec<u32> { ids.by_ref().take(count).collect() };
    (0..batch)
        .map(|index| Group {
            index,
            prompts: PerContext { plain: Some(take(tokens - tokens / 2)), ..PerContext::default() },
            response: take(tokens / 2),
            ends_with_eos: false,
            quoted: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_tokens_are_targets() {
        let groups = random_groups(2, 9, 100);
        let prompt = |i: usize| groups[i].prompts.plain.as_ref().expect("is always there");
        let (prompt, other, response) = (prompt(1), prompt(0), &groups[1].response);
        assert_eq!((prompt.len(), response.len()), (5, 4));
        assert_ne!(other, prompt);
        assert!(prompt.iter().chain(response).all(|&id| id < 100));
    }
}
