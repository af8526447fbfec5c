//! Data that can be read only once: pipes and standard input. It is copied, so that the run can be
//! resumed.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::data::{input, is_piped};
use crate::run::{RunFolder, Settings};

/// The copies, until the run has a folder of its own.
pub struct Piped {
    folder: TempDir,
    /// For every file the copy's name, if there is one.
    names: Vec<Option<String>>,
}

impl Piped {
    /// Reads what can be read only once. Gives the paths to read instead.
    ///
    /// # Errors
    /// A pipe that cannot be read, or no room for the copy.
    pub fn collect(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Self)> {
        let folder = TempDir::new().context("cannot make a temporary folder")?;
        let mut piped = Self { folder, names: Vec::new() };
        let mut readable = Vec::new();
        for (path, number) in paths.iter().zip(1..) {
            let name = is_piped(path).then(|| format!("data-{number}.jsonl"));
            readable.push(match &name {
                None => path.clone(),
                Some(name) => {
                    let copy = piped.folder.path().join(name);
                    input(path)
                        .and_then(|mut pipe| io::copy(&mut pipe, &mut File::create(&copy)?))
                        .with_context(|| format!("cannot read {}", path.display()))?;
                    copy
                }
            });
            piped.names.push(name);
        }
        Ok((readable, piped))
    }

    /// Moves the copies into the run's folder and lets the settings name them there.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn keep(self, folder: &RunFolder, settings: &mut Settings) -> Result<()> {
        let run_dir = std::path::absolute(folder.path())?;
        for (name, file) in self.names.iter().zip(&mut settings.data.files) {
            let Some(name) = name else { continue };
            let kept = run_dir.join(name);
            fs::copy(&file.path, &kept)
                .with_context(|| format!("cannot write {}", kept.display()))?;
            file.path = kept;
        }
        Ok(())
    }
}
