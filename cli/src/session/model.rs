//! Opening what every command opens: the model, its shape, its adapter, the engine.

use std::num::NonZero;
use std::path::Path;

use anyhow::{Context, Result};
use cutq_ffi::{Adapter, Architecture, Device, Engine, EngineOptions, Gguf, LoraConfig};

use crate::console::Console;
use crate::flags::PrecisionName;
use crate::usage::UsageError;

/// The length of training examples unless asked otherwise, as in the paper.
const DEFAULT_LENGTH: usize = 2048;

/// A model's file and shape.
pub struct ModelFile {
    /// The file.
    pub gguf: Gguf,
    /// The shape.
    pub architecture: Architecture,
}

impl ModelFile {
    /// Opens a model that can be trained.
    pub fn open(path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path).context("cannot open the model")?;
        let architecture = Architecture::from_gguf(&gguf)
            .with_context(|| format!("cannot use the model {}", path.display()))?;
        Ok(Self { gguf, architecture })
    }

    /// The adapter in a file if there is one, else [`ModelFile::no_adapter`].
    pub fn adapter_or_none(&self, path: Option<&Path>) -> Result<Adapter> {
        path.map_or_else(|| Ok(self.no_adapter()), |path| self.adapter(path))
    }

    /// The adapter in a file.
    pub fn adapter(&self, path: &Path) -> Result<Adapter> {
        Adapter::load(path, &self.gguf, &self.architecture).context("cannot use the adapter")
    }

    /// An adapter of no tensors, which leaves the model as it is.
    pub fn no_adapter(&self) -> Adapter {
        let config =
            LoraConfig { r: 1, lora_alpha: 1.0, lora_dropout: 0.0, target_modules: Vec::new() };
        Adapter::init(&self.gguf, &self.architecture, config, 0)
    }

    /// The engine that computes the model with `adapter`.
    pub fn engine(
        &self,
        adapter: Adapter,
        device: Device,
        threads: usize,
        precision: PrecisionName,
    ) -> Result<Engine> {
        let options = EngineOptions {
            device,
            n_threads: threads,
            precision: precision.into(),
            ..EngineOptions::default()
        };
        Engine::open(&self.gguf, adapter, options).context("cannot start the engine")
    }

    /// Maximum tokens of a prompt and its response: as asked, or the usual length, but no more than
    /// the model holds.
    pub fn max_length(&self, asked: Option<usize>) -> Result<usize> {
        let context = self.architecture.context_length;
        match asked {
            None => Ok(DEFAULT_LENGTH.min(context)),
            Some(asked) if asked <= context => Ok(asked),
            Some(asked) => Err(UsageError::new(format!(
                "--max-length {asked} is more than the model's context, which holds {context} tokens"
            ))
            .into()),
        }
    }
}

/// The device asked for by name, or the fastest, which is noted if there is a choice.
///
/// # Errors
/// If there is no such device.
pub fn device(asked: &str, threads: usize, console: Console) -> Result<Device> {
    if asked != "auto" {
        return Ok(Device::find(asked)?);
    }
    let fastest = Device::fastest(threads);
    if Device::all().len() > 1 {
        console.note(format_args!("device: {fastest}, the fastest here"));
    }
    Ok(fastest)
}

/// The threads asked for, or one per core. More than there are cores are slow, which is noted.
pub fn threads(asked: Option<usize>, console: Console) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = asked.unwrap_or(cores);
    if threads > cores {
        console.note(format_args!(
            "{threads} threads share {cores} cores, which takes longer than {cores} threads do"
        ));
    }
    threads
}
