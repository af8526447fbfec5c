//! A point from which training resumes exactly as if it had not stopped.
//!
//! `checkpoint/` holds `adapter.gguf`, `optimizer.safetensors` and `state.json`. A new one is
//! written whole under another name, then takes the old one's place. Folders cannot be exchanged
//! in one operation, so the old one steps aside first and counts as the checkpoint if the process
//! ends in between.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cutq_core::optimizer::Moments;
use cutq_core::trainer::Evaluation;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::file::{FileError, replace, sync};
use super::folder::{FolderError, RunFolder, read_json};

/// Where a run stands; everything random follows from its seed and the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// The parameters with optimizer state, in the model's order.
    pub parameters: Vec<String>,
    /// Held-out examples before the first step.
    pub eval_before: Option<Evaluation>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file of it cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// A file of it cannot be read.
    #[error(transparent)]
    Read(#[from] FolderError),
    /// The optimizer's state is damaged.
    #[error("{}: the optimizer's state cannot be used", path.display())]
    Optimizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SafeTensorError,
    },
    /// The optimizer's state has tensors of another type.
    #[error("{}: `{name}` is {dtype:?}, it must be F32", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// The engine could not write the adapter.
    #[error("cannot save the checkpoint {}", path.display())]
    Adapter {
        /// The file.
        path: PathBuf,
        /// The engine's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A checkpoint that was read.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where the run stands.
    pub state: State,
    /// The optimizer's moments, in the model's order.
    pub moments: Vec<Moments<f32>>,
    /// The adapter's file.
    pub adapter: PathBuf,
}

const NAME: &str = "checkpoint";
const UNFINISHED: &str = "checkpoint.tmp";
const ASIDE: &str = "checkpoint.old";
const ADAPTER: &str = "adapter.gguf";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

impl Checkpoint {
    /// Writes a checkpoint; `save_adapter` writes the adapter's file. If anything fails, the
    /// previous checkpoint remains.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(
        folder: &RunFolder,
        state: &State,
        moments: &[Moments<f32>],
        save_adapter: impl FnOnce(&Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), CheckpointError> {
        let unfinished = folder.file(UNFINISHED);
        let written = write(&unfinished, state, moments, save_adapter);
        if written.is_err() {
            // What is there takes space on a disk that may be full.
            let _ = fs::remove_dir_all(&unfinished);
            return written;
        }
        let (current, aside) = (folder.file(NAME), folder.file(ASIDE));
        let fault = |source| FileError { path: current.clone(), source };
        if current.exists() {
            remove(&aside).map_err(fault)?;
            fs::rename(&current, &aside).map_err(fault)?;
        }
        fs::rename(&unfinished, &current).map_err(fault)?;
        remove(&aside).map_err(fault)?;
        sync(folder.path()).map_err(fault)?;
        Ok(())
    }

    /// Reads the run's checkpoint; `None` if there is none yet.
    ///
    /// # Errors
    /// If a file of it is missing or damaged.
    pub fn load(folder: &RunFolder) -> Result<Option<Self>, CheckpointError> {
        let candidates = [folder.file(NAME), folder.file(ASIDE)];
        let Some(path) = candidates.into_iter().find(|path| path.exists()) else {
            return Ok(None);
        };
        let state: State = read_json(&path.join(STATE))?;
        let moments = read_moments(&path.join(OPTIMIZER), &state.parameters)?;
        Ok(Some(Self { state, moments, adapter: path.join(ADAPTER) }))
    }
}

fn write(
    path: &Path,
    state: &State,
    moments: &[Moments<f32>],
    save_adapter: impl FnOnce(&Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<(), CheckpointError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        |source| FileError { path, source }
    };
    remove(path).map_err(fault(path))?;
    fs::create_dir(path).map_err(fault(path))?;
    let adapter = path.join(ADAPTER);
    save_adapter(&adapter)
        .map_err(|source| CheckpointError::Adapter { path: adapter.clone(), source })?;
    sync(&adapter).map_err(fault(&adapter))?;
    write_moments(&path.join(OPTIMIZER), moments)?;
    let text = serde_json::to_vec_pretty(state).expect("a state has string keys");
    replace(&path.join(STATE), &text)?;
    sync(path).map_err(fault(path))?;
    Ok(())
}

/// Removes a folder that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// One moment as safetensors wants it; its bytes are made when they are written.
struct Tensor<'a> {
    shape: [usize; 1],
    values: &'a [f32],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.values.iter().flat_map(|value| value.to_le_bytes());
        Cow::Owned(bytes.collect())
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

fn write_moments(path: &Path, moments: &[Moments<f32>]) -> Result<(), CheckpointError> {
    let tensor = |name: &str, kind: &str, values| {
        let shape = [<[f32]>::len(values)];
        (format!("{name}.{kind}"), Tensor { shape, values })
    };
    let tensors = moments.iter().flat_map(|moment| {
        [tensor(&moment.name, "m", &moment.m), tensor(&moment.name, "v", &moment.v)]
    });
    safetensors::serialize_to_file(tensors, None, path).map_err(|error| match error {
        SafeTensorError::IoError(source) => FileError { path: path.to_owned(), source }.into(),
        source => CheckpointError::Optimizer { path: path.to_owned(), source },
    })?;
    sync(path).map_err(|source| FileError { path: path.to_owned(), source })?;
    Ok(())
}

/// The moments of `parameters`, in their order.
fn read_moments(path: &Path, parameters: &[String]) -> Result<Vec<Moments<f32>>, CheckpointError> {
    let bytes =
        fs::read(path).map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
    let damaged = |source| CheckpointError::Optimizer { path: path.to_owned(), source };
    let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let by_name: HashMap<_, _> = tensors.iter().collect();
    let values = |name: &str, kind: &str| {
        let name = format!("{name}.{kind}");
        let tensor = by_name
            .get(name.as_str())
            .ok_or_else(|| damaged(SafeTensorError::TensorNotFound(name.clone())))?;
        if tensor.dtype() != Dtype::F32 {
            let (path, dtype) = (path.to_owned(), tensor.dtype());
            return Err(CheckpointError::Dtype { path, name, dtype });
        }
        let (values, _) = tensor.data().as_chunks::<4>();
        Ok(values.iter().map(|&b| f32::from_le_bytes(b)).collect())
    };
    parameters
        .iter()
        .map(|name| {
            Ok(Moments { name: name.clone(), m: values(name, "m")?, v: values(name, "v")? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(value: f32) -> Vec<Moments<f32>> {
        // Not in alphabetical order: the model's order has to come back.
        ["b", "a"]
            .map(|name| Moments {
                name: name.to_owned(),
                m: vec![value, -value],
                v: vec![value * value; 3],
            })
            .to_vec()
    }

    fn state(step: u64) -> State {
        State { step, parameters: vec!["b".into(), "a".into()], eval_before: None }
    }

    fn save(folder: &RunFolder, step: u64) -> Result<(), CheckpointError> {
        Checkpoint::save(folder, &state(step), &moments(step as f32 / 3.0), |path| {
            Ok(fs::write(path, step.to_string())?)
        })
    }

    #[test]
    fn a_checkpoint_comes_back_exactly() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(&parent.path().join("run")).expect("new");
        assert!(Checkpoint::load(&folder).expect("none yet").is_none());
        for step in [10, 20] {
            save(&folder, step).expect("saves");
            let read = Checkpoint::load(&folder).expect("reads").expect("is there");
            assert_eq!((read.state, read.moments), (state(step), moments(step as f32 / 3.0)));
            assert_eq!(fs::read_to_string(read.adapter).expect("is there"), step.to_string());
        }
        assert!(!folder.file(ASIDE).exists() && !folder.file(UNFINISHED).exists());
    }

    #[test]
    fn a_failed_save_keeps_the_previous_one() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(&parent.path().join("run")).expect("new");
        save(&folder, 10).expect("saves");
        let error = Checkpoint::save(&folder, &state(20), &moments(2.0), |path| {
            fs::write(path, "half of")?;
            Err(io::Error::from(io::ErrorKind::StorageFull).into())
        })
        .expect_err("the disk is full");
        assert!(error.to_string().contains("adapter.gguf"), "{error}");
        let read = Checkpoint::load(&folder).expect("reads").expect("is there");
        assert_eq!(read.state.step, 10);
        assert!(!folder.file(UNFINISHED).exists());
    }

    #[test]
    fn a_process_that_ends_between_the_renames_loses_nothing() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(&parent.path().join("run")).expect("new");
        save(&folder, 10).expect("saves");
        fs::rename(folder.file(NAME), folder.file(ASIDE)).expect("renames");
        let read = Checkpoint::load(&folder).expect("reads").expect("is there");
        assert_eq!(read.state.step, 10);
        save(&folder, 20).expect("saves");
        let read = Checkpoint::load(&folder).expect("reads").expect("is there");
        assert_eq!(read.state.step, 20);
    }
}
