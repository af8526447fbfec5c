//! Where a run writes, and whether it may.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::flags::FinetuneArgs;
use crate::run::Settings;
use crate::usage::UsageError;

/// `MODEL-cut-lora.gguf` in this folder.
pub fn default_out(model: &Path) -> PathBuf {
    format!("{}-cut-lora.gguf", stem(model)).into()
}

/// `runs/MODEL-TIME` beside the adapter.
pub fn default_run_dir(settings: &Settings) -> PathBuf {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    // Colons are not allowed in file names everywhere.
    let name = format!("{}-{}", stem(&settings.model.path), time.replace(':', ""));
    let parent = settings.out.parent().unwrap_or(Path::new("."));
    parent.join("runs").join(name)
}

/// Refuses an adapter that would take the place of what it is made from.
///
/// # Errors
/// If `out` is the model, a data file or the initial adapter.
pub fn refuse_overwriting(args: &FinetuneArgs, model: &Path, out: &Path) -> Result<(), UsageError> {
    let inputs = std::iter::once(model)
        .chain(args.data.iter().map(PathBuf::as_path))
        .chain(args.training.lora.init_adapter.as_deref());
    let same = |input: &Path| {
        let (input, out) = (fs::canonicalize(input), fs::canonicalize(out));
        matches!((input, out), (Ok(input), Ok(out)) if input == out)
    };
    match inputs.into_iter().find(|input| same(input)) {
        None => Ok(()),
        Some(input) => Err(UsageError::new(format!(
            "--out {} would overwrite an input of the run",
            input.display()
        ))),
    }
}

/// Finds out before hours of training that the adapter could not be written after them.
///
/// # Errors
/// A folder that cannot be made or written to, or something else that is no file.
pub fn check_writable(settings: &Settings) -> Result<()> {
    let out = &settings.out;
    let fault = || format!("cannot write the adapter {}", out.display());
    check_folder(out.parent().unwrap_or(Path::new("/"))).with_context(fault)?;
    cutq_ffi::check_replaceable(out).with_context(fault)?;
    match &settings.save_peft {
        None => Ok(()),
        Some(folder) => check_folder(folder)
            .with_context(|| format!("cannot save the adapter for PEFT in {}", folder.display())),
    }
}

/// Makes a folder, unless it is there, and a file in it that does not stay.
fn check_folder(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder)?;
    Ok(())
}

fn stem(model: &Path) -> String {
    model.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
