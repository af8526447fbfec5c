//! Data that can be read only once: pipes and standard input. It is copied, so that the run can be
//! resumed.

use std::fs::{self, File};
use std::io::{self, Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::run::Settings;

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
                    copy_pipe(path, &copy)
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
    pub fn keep(self, run_dir: &Path, settings: &mut Settings) -> Result<()> {
        let run_dir = std::path::absolute(run_dir)?;
        for (name, file) in self.names.iter().zip(&mut settings.data.files) {
            let Some(name) = name else { continue };
            let kept = run_dir.join(name);
            fs::create_dir_all(&run_dir)
                .and_then(|()| fs::copy(&file.path, &kept))
                .with_context(|| format!("cannot write {}", kept.display()))?;
            file.path = kept;
        }
        Ok(())
    }
}

fn is_piped(path: &Path) -> bool {
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    // What is not there is left to the reader, which says so.
    path.as_os_str() == "-" || (path.exists() && !is_file && !path.is_dir())
}

fn copy_pipe(path: &Path, copy: &Path) -> io::Result<u64> {
    let mut pipe: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(stdin()),
        false => Box::new(File::open(path)?),
    };
    io::copy(&mut pipe, &mut File::create(copy)?)
}
