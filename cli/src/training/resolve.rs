//! From flags to the settings of a run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cutq_ffi::{Adapter, LoraConfig, Now, Projection};

use crate::console::Console;
use crate::data::Task;
use crate::flags::{LoraArgs, PromptArgs, TrainingArgs, target_modules};
use crate::run::{DataSettings, EngineSettings, InputFile, LoraSettings, PromptSettings, Settings};
use crate::session::model::{ModelFile, device, threads};
use crate::text::TemplateName;
use crate::usage::UsageError;

const DEFAULT_R: usize = 16;
const DEFAULT_ALPHA: f64 = 16.0;

/// Where a run's adapter goes.
pub struct Output {
    /// As GGUF; absolute.
    pub out: PathBuf,
    /// As PEFT safetensors.
    pub save_peft: Option<PathBuf>,
}

/// The settings that the flags give, and the model they are for.
///
/// # Errors
/// Flags that contradict each other or the files they name; files that cannot be read.
pub fn settings(
    args: &TrainingArgs,
    path: &Path,
    data: DataSettings,
    Output { out, save_peft }: Output,
    console: Console,
) -> Result<(Settings, ModelFile)> {
    let objective = match data.task {
        Task::Answer => args.objective.resolve()?,
        Task::Judge => args.objective.of_judge()?,
    };
    let modules = args.lora.target_modules.as_deref().map(target_modules).transpose()?;
    let model = ModelFile::open(path)?;
    let threads = threads(args.engine.device.threads, console);
    let settings = Settings {
        cutq: env!("CARGO_PKG_VERSION").to_owned(),
        model: InputFile::head(path)?,
        model_shards: model.gguf.files().skip(1).map(InputFile::head).collect::<Result<_>>()?,
        out,
        save_peft,
        data,
        prompt: prompt(&args.prompt, &model)?,
        objective,
        lora: lora(&args.lora, modules.as_deref(), &model)?,
        recipe: args.recipe.clone(),
        engine: EngineSettings {
            device: device(&args.engine.device.name, threads, console)?.name(),
            threads,
            precision: args.engine.precision,
            micro_batch: args.engine.micro_batch,
            memory: args.memory.memory,
        },
    };
    Ok((settings, model))
}

/// The adapter before the first step.
///
/// # Errors
/// An initial adapter that does not belong to the model.
pub fn first_adapter(settings: &Settings, model: &ModelFile) -> Result<Adapter> {
    let config = settings.lora.config()?;
    let adapter = match &settings.lora.init_adapter {
        Some(file) => Adapter { config, ..model.adapter(&file.path)? },
        None => {
            let seed = settings.recipe.seed;
            Adapter::init(&model.gguf, &model.architecture, config, seed)
        }
    };
    Ok(Adapter { task: settings.data.task.name().map(str::to_owned), ..adapter })
}

/// How examples are put before the model.
fn prompt(args: &PromptArgs, model: &ModelFile) -> Result<PromptSettings> {
    let asked = args.template.clone();
    let mut template = asked.unwrap_or_else(|| TemplateName::of(&model.gguf));
    let mut template_file = None;
    if let TemplateName::File(path) = &mut template {
        let file = InputFile::whole(path)
            .with_context(|| format!("the template {} cannot be used", path.display()))?;
        path.clone_from(&file.path);
        template_file = Some(file);
    }
    let tokenizer = args.tokenizer.as_deref();
    Ok(PromptSettings {
        template,
        template_file,
        now: Now::local().to_string(),
        tokenizer: tokenizer.map(InputFile::whole).transpose()?,
        max_length: model.max_length(args.max_length)?,
        on_long: args.on_long,
    })
}

fn lora(
    args: &LoraArgs,
    modules: Option<&[Projection]>,
    model: &ModelFile,
) -> Result<LoraSettings> {
    let modules = modules.map(|modules| model.architecture.targets(modules));
    let modules = modules.as_deref();
    let config = match &args.init_adapter {
        Some(path) => {
            let config = model.adapter(path)?.config;
            agree(args, modules, &config, path)?;
            config
        }
        None => LoraConfig {
            r: args.r.unwrap_or(DEFAULT_R),
            lora_alpha: args.lora_alpha.unwrap_or(DEFAULT_ALPHA) as f32,
            lora_dropout: 0.0,
            target_modules: model.architecture.targets(modules.unwrap_or(&Projection::FFN)),
        },
    };
    let init_adapter = args.init_adapter.as_deref();
    Ok(LoraSettings {
        r: config.r,
        lora_alpha: config.lora_alpha,
        lora_dropout: args.lora_dropout as f32,
        target_modules: config.target_modules.iter().map(Projection::to_string).collect(),
        init_adapter: init_adapter.map(InputFile::whole).transpose()?,
    })
}

/// Flags beside `--init-adapter` may repeat what it is, not change it.
fn agree(
    args: &LoraArgs,
    modules: Option<&[Projection]>,
    config: &LoraConfig,
    path: &Path,
) -> Result<(), UsageError> {
    let path = path.display();
    let conflict = |flag: &str, asked: String, found: String| {
        UsageError::new(format!(
            "--{flag} {asked} contradicts --init-adapter {path}, which has {found}"
        ))
    };
    let names = |modules: &[Projection]| {
        modules.iter().map(Projection::to_string).collect::<Vec<_>>().join(",")
    };
    if let Some(r) = args.r.filter(|&r| r != config.r) {
        return Err(conflict("r", r.to_string(), config.r.to_string()));
    }
    if let Some(alpha) = args.lora_alpha.filter(|&alpha| alpha as f32 != config.lora_alpha) {
        return Err(conflict("lora-alpha", alpha.to_string(), config.lora_alpha.to_string()));
    }
    if let Some(asked) = modules.filter(|&modules| modules != config.target_modules) {
        return Err(conflict("target-modules", names(asked), names(&config.target_modules)));
    }
    Ok(())
}
