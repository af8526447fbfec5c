//! The adapter as llama.cpp loads it with `--lora`.

use std::path::Path;

use super::pairs::Pairs;
use super::{Adapter, AdapterError, LoraConfig, LoraPair};
use crate::gguf::error::GgufError;
use crate::gguf::file::Gguf;
use crate::gguf::format::FileFormat;
use crate::gguf::writer::GgufWriter;
use crate::model::architecture::Architecture;
use crate::model::projection::Projection;

/// The key of what an adapter has learned to do.
const TASK: &str = "adapter.lora.task_name";

impl Adapter {
    /// Loads an adapter for `model` from a GGUF as llama.cpp's converter or [`Adapter::save_gguf`]
    /// writes it. Norms in it are left out, as llama.cpp does.
    ///
    /// # Errors
    /// If the file is not a LoRA adapter, does not fit the model, or adapts what cannot be adapted
    /// here.
    pub fn load(
        path: &Path,
        model: &Gguf,
        architecture: &Architecture,
    ) -> Result<Self, AdapterError> {
        let file = Gguf::open(path).map_err(|error| peft(path, error))?;
        check_kind(path, &file)?;
        let (its, ours) = (file.architecture()?, model.architecture()?);
        if its != ours {
            let reason = format!("its architecture is {its}, the model's {ours}");
            return Err(AdapterError::OtherModel { path: path.to_owned(), reason });
        }
        let pairs = Pairs { path, file: &file, architecture }.read()?;
        let mut target_modules: Vec<Projection> = pairs.iter().map(|p| p.projection).collect();
        target_modules.sort_unstable();
        target_modules.dedup();
        let config = LoraConfig {
            r: pairs.iter().map(LoraPair::r).max().unwrap_or(0),
            // llama.cpp, too, takes none for 0.
            lora_alpha: file.float("adapter.lora.alpha").unwrap_or(0.0) as f32,
            lora_dropout: 0.0,
            target_modules,
        };
        let task = file.str(TASK).map(str::to_owned);
        Ok(Self { config, architecture: ours.to_owned(), task, pairs })
    }

    /// Writes the adapter as a GGUF of F32 tensors, whole or not at all.
    ///
    /// # Errors
    /// If a value is not finite, or the file cannot be written; what was at `path` is then still
    /// there.
    pub fn save_gguf(&self, path: &Path) -> Result<(), AdapterError> {
        self.check_finite()?;
        let mut writer = GgufWriter::new();
        writer.header.str("general.architecture", &self.architecture);
        writer.header.str("general.type", "adapter");
        writer.header.str("adapter.type", "lora");
        writer.header.f32("adapter.lora.alpha", self.config.lora_alpha);
        if let Some(task) = &self.task {
            writer.header.str(TASK, task);
        }
        for pair in &self.pairs {
            let r = pair.r();
            writer.tensor(&pair.name_a(), [pair.n_in, r], &pair.a);
            writer.tensor(&pair.name_b(), [r, pair.n_out], &pair.b);
        }
        let write = |source| AdapterError::Write { path: path.to_owned(), source };
        writer.save(path).map_err(write)
    }
}

/// What stands in the way if the file is no GGUF: many an adapter is a folder of PEFT's.
fn peft(path: &Path, error: GgufError) -> AdapterError {
    match error {
        GgufError::Folder { path } if path.join("adapter_config.json").exists() => {
            AdapterError::Peft { path }
        }
        GgufError::NotGguf { format: FileFormat::Safetensors, .. } => {
            AdapterError::Peft { path: path.to_owned() }
        }
        error => error.into(),
    }
}

fn check_kind(path: &Path, file: &Gguf) -> Result<(), AdapterError> {
    let found = file.str("general.type").unwrap_or("missing").to_owned();
    if found != "adapter" || file.str("adapter.type") != Some("lora") {
        return Err(AdapterError::NotAnAdapter { path: path.to_owned(), found });
    }
    if file.value("adapter.alora.invocation_tokens").is_some() {
        let what = "an activated LoRA (adapter.alora.invocation_tokens)";
        return Err(AdapterError::Kind { path: path.to_owned(), what });
    }
    Ok(())
}
