//! Everything that decides a run, as it is kept in `config.json`.

use std::path::PathBuf;

use crate::data::{Format, OnDuplicate, OnFailedJudge, OnLong, OnPraise, Screening};
use anyhow::Result;
use clap::ValueEnum;
use cutq_core::optimizer::{AdamW, Optimizer, Sgd};
use cutq_core::schedule::Schedule;
use cutq_ffi::{LoraConfig, Module, Precision};
use serde::{Deserialize, Serialize};

use super::{InputFile, ObjectiveSettings};
use crate::text::TemplateName;

/// Arithmetic of the products with the model's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionName {
    /// Blocks of 8-bit integers: fast
    Int8,
    /// 32-bit floating point: exact and slower
    F32,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::Int8 => Self::Int8,
            PrecisionName::F32 => Self::F32,
        }
    }
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// Not at all
    Constant,
    /// To 0, in a straight line
    Linear,
    /// To 0, along half a cosine
    Cosine,
}

impl From<ScheduleName> for Schedule {
    fn from(name: ScheduleName) -> Self {
        match name {
            ScheduleName::Constant => Self::Constant,
            ScheduleName::Linear => Self::Linear,
            ScheduleName::Cosine => Self::Cosine,
        }
    }
}

/// How a gradient moves the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay
    Adamw,
    /// Plain gradient descent
    Sgd,
}

/// Where the data comes from and which of it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DataSettings {
    pub files: Vec<InputFile>,
    pub format: Format,
    pub skip_bad_lines: bool,
    pub on_duplicate: OnDuplicate,
    pub on_failed_judge: OnFailedJudge,
    pub on_praise: OnPraise,
    pub positive_ratio: Option<f64>,
    pub eval_split: Option<f64>,
}

impl DataSettings {
    /// The rules of screening.
    pub fn screening(&self, seed: u64) -> Screening {
        Screening {
            on_duplicate: self.on_duplicate,
            on_failed_judge: self.on_failed_judge,
            on_praise: self.on_praise,
            positive_ratio: self.positive_ratio,
            seed,
        }
    }
}

/// How examples become tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PromptSettings {
    pub template: TemplateName,
    /// The template's file, if it is one.
    pub template_file: Option<InputFile>,
    pub tokenizer: Option<InputFile>,
    pub max_length: usize,
    pub on_long: OnLong,
}

/// The adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
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
            target_modules: modules.collect::<Result<Vec<Module>, _>>()?,
        })
    }
}

/// The steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RecipeSettings {
    pub lr: f64,
    pub schedule: ScheduleName,
    pub warmup_ratio: f64,
    pub weight_decay: f64,
    pub epochs: Option<usize>,
    pub max_steps: Option<usize>,
    pub batch_size: usize,
    pub max_grad_norm: f64,
    pub optimizer: OptimizerName,
    pub seed: u64,
    pub save_every: usize,
}

impl RecipeSettings {
    /// Steps of the whole run, given those of one pass over the data.
    ///
    /// `max_steps` alone repeats the data as needed; with `epochs`, whichever ends first.
    pub fn total_steps(&self, per_epoch: u64) -> u64 {
        let by_epochs = self.epochs.map(|epochs| epochs as u64 * per_epoch);
        match (self.max_steps.map(|steps| steps as u64), by_epochs) {
            (None, by_epochs) => by_epochs.unwrap_or(per_epoch),
            (Some(steps), None) => steps,
            (Some(steps), Some(by_epochs)) => steps.min(by_epochs),
        }
    }

    /// The update rule.
    pub fn optimizer(&self) -> Optimizer {
        let weight_decay = self.weight_decay;
        match self.optimizer {
            OptimizerName::Adamw => Optimizer::AdamW(AdamW { weight_decay, ..AdamW::default() }),
            OptimizerName::Sgd => Optimizer::Sgd(Sgd { weight_decay }),
        }
    }
}

/// How the model is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct EngineSettings {
    /// The name of the device; never `auto`: a run goes on where it began.
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
    /// The model.
    pub model: InputFile,
    /// Where the adapter goes.
    pub out: PathBuf,
    /// Where it goes as PEFT safetensors.
    pub save_peft: Option<PathBuf>,
    /// The data.
    pub data: DataSettings,
    /// How it is put before the model.
    pub prompt: PromptSettings,
    /// What is minimized.
    pub objective: ObjectiveSettings,
    /// The adapter.
    pub lora: LoraSettings,
    /// The steps.
    pub recipe: RecipeSettings,
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
        let files = single.into_iter().flatten().chain(&self.data.files);
        files.into_iter().try_for_each(InputFile::verify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_from_epochs_and_max_steps() {
        let total = |epochs, max_steps| {
            let recipe = RecipeSettings {
                lr: 1.0,
                schedule: ScheduleName::Constant,
                warmup_ratio: 0.0,
                weight_decay: 0.0,
                epochs,
                max_steps,
                batch_size: 1,
                max_grad_norm: 0.0,
                optimizer: OptimizerName::Sgd,
                seed: 0,
                save_every: 1,
            };
            recipe.total_steps(10)
        };
        assert_eq!(total(None, None), 10);
        assert_eq!(total(Some(3), None), 30);
        assert_eq!(total(None, Some(25)), 25);
        assert_eq!(total(Some(1), Some(25)), 10);
        assert_eq!(total(Some(3), Some(25)), 25);
    }
}
