//! Everything that decides a run, as it is saved in `config.json`.

use std::path::PathBuf;

use anyhow::Result;
use cutq_core::objective::AnyObjective;
use cutq_ffi::{LoraConfig, Projection};
use serde::{Deserialize, Serialize};

use super::input::InputFile;
use crate::data::{OnLong, Task};
use crate::flags::{PrecisionName, ReadArgs, RecipeArgs, ScreenArgs, SelectArgs};
use crate::text::TemplateName;

/// Where the data comes from and which of it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// The files, in the order in which they are read.
    pub files: Vec<InputFile>,
    /// How they are read.
    pub read: ReadArgs,
    /// What becomes of doubtful examples.
    pub screen: ScreenArgs,
    /// How many are used.
    pub select: SelectArgs,
    /// What is learned from them.
    #[serde(default)]
    pub task: Task,
}

/// How examples become tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptSettings {
    pub template: TemplateName,
    /// The template's file, if it is one.
    pub template_file: Option<InputFile>,
    /// The date and time that the template is told.
    pub now: String,
    pub tokenizer: Option<InputFile>,
    pub max_length: usize,
    pub on_long: OnLong,
}

/// The adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSettings {
    pub r: usize,
    pub lora_alpha: f32,
    pub lora_dropout: f32,
    pub target_modules: Vec<String>,
    pub init_adapter: Option<InputFile>,
}

impl LoraSettings {
    /// The engine's form.
    pub fn config(&self) -> Result<LoraConfig> {
        let modules = self.target_modules.iter().map(|name| name.parse());
        Ok(LoraConfig {
            r: self.r,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules: modules.collect::<Result<Vec<Projection>, _>>()?,
        })
    }
}

/// How the model is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// The name of the device; never `auto`: a run resumes on the device it began on.
    pub device: String,
    pub threads: usize,
    pub precision: PrecisionName,
    /// As planned when the run began: it decides the order of sums.
    pub micro_batch: Option<usize>,
    /// The budget in bytes.
    pub memory: Option<u64>,
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The program's version.
    pub cutq: String,
    /// The model; of one in several files the first.
    pub model: InputFile,
    /// Its other files.
    pub model_shards: Vec<InputFile>,
    /// Where the adapter goes.
    pub out: PathBuf,
    /// Where it goes as PEFT safetensors.
    pub save_peft: Option<PathBuf>,
    /// The data.
    pub data: DataSettings,
    /// How it is put before the model.
    pub prompt: PromptSettings,
    /// What is minimized.
    pub objective: AnyObjective,
    /// The adapter.
    pub lora: LoraSettings,
    /// The steps.
    pub recipe: RecipeArgs,
    /// How it is computed.
    pub engine: EngineSettings,
}

impl Settings {
    /// Checks that every file the run reads is still the one it began with.
    pub fn verify_inputs(&self) -> Result<()> {
        let single = [
            Some(&self.model),
            self.prompt.template_file.as_ref(),
            self.prompt.tokenizer.as_ref(),
            self.lora.init_adapter.as_ref(),
        ];
        let files = single.into_iter().flatten().chain(&self.model_shards).chain(&self.data.files);
        files.into_iter().try_for_each(InputFile::verify)
    }
}
