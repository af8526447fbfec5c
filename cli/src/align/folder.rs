//! The folder of a run of rounds, and where things are in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::line::RoundLine;
use super::settings::Settings;
use super::stage::Stage;
use crate::run::RunFolder;

/// The folder, locked against a second process as long as this value lives.
pub struct AlignFolder(RunFolder);

const RUN: &str = "run.json";

impl AlignFolder {
    /// Makes or opens the folder.
    ///
    /// # Errors
    /// A folder that cannot be made, or that another process works in.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(RunFolder::lock(path)?))
    }

    /// What the run in it was begun with; none if there is no run yet.
    ///
    /// # Errors
    /// Settings that this version does not write.
    pub fn settings(&self) -> Result<Option<Settings>> {
        match self.file(RUN).exists() {
            true => Ok(Some(self.0.read_settings(RUN)?)),
            false => Ok(None),
        }
    }

    /// Writes the settings, which make it a run.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn begin(&self, settings: &Settings) -> Result<()> {
        Ok(self.0.write_json(RUN, settings)?)
    }

    /// Writes a JSON file in it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        Ok(self.0.write_json(name, value)?)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// The folder of a round.
    pub fn round(&self, round: usize) -> PathBuf {
        self.file("rounds").join(round.to_string())
    }

    /// The dry round.
    pub(super) fn dry(&self) -> Stage {
        Stage::new(self.path(), "dry")
    }

    /// A round's answers to train on.
    pub(super) fn sample(&self, round: usize) -> Stage {
        Stage::new(&self.round(round), "sample")
    }

    /// What the judge says of them.
    pub(super) fn judge(&self, round: usize) -> Stage {
        Stage::new(&self.round(round), "judge")
    }

    /// Those that are trained on.
    pub(super) fn data(&self, round: usize) -> Stage {
        Stage::new(&self.round(round), "data")
    }

    /// The training of a round.
    pub(super) fn train(&self, round: usize) -> Stage {
        Stage::new(&self.round(round), "train")
    }

    /// The evaluation of a round.
    pub(super) fn eval(&self, round: usize) -> Stage {
        Stage::new(&self.round(round), "eval")
    }

    /// The untouched prompts, answered by the model of a round.
    pub(super) fn test(&self, round: usize) -> Stage {
        Stage::new(&self.file("test"), &round.to_string())
    }

    /// The adapter that a round has trained.
    pub fn adapter(&self, round: usize) -> PathBuf {
        self.round(round).join("adapter.gguf")
    }

    /// Writes the lines of all rounds so far.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_rounds(&self, lines: &[RoundLine]) -> Result<()> {
        let text: Vec<String> = lines
            .iter()
            .map(|line| serde_json::to_string(line).expect("names are strings"))
            .collect();
        write(&self.file("rounds.jsonl"), (text.join("\n") + "\n").as_bytes())
    }

    /// Keeps the judgments of a round's evaluation.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn keep_evaluation(&self, round: usize, judgments: &Path) -> Result<()> {
        let folder = self.file("eval");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        copy(judgments, &folder.join(format!("{round}.jsonl")))
    }

    /// Keeps an adapter as the best one.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn keep_best(&self, adapter: &Path) -> Result<()> {
        copy(adapter, &self.file("best.gguf"))
    }
}

/// Copies a file, whole or not at all.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    cutq_ffi::replace_file(path, |file| file.write_all(bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}
