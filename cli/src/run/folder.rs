//! Making, finding and locking a run's folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::file::{FileError, replace};

/// Why a run's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It cannot be made.
    #[error("cannot make the run folder {}", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is a run in it.
    #[error(
        "{path} already holds a run\nhint: resume it with `cutq finetune --resume {path}`, or \
         choose another --run-dir",
        path = path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// There is no run in it.
    #[error("{} is not the folder of a run: it has no config.json", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains in it.
    #[error("another process is training in {}", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A file in it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its settings are those of another version of the program.
    #[error(
        "the run in {} was begun by another version of cutq{}",
        path.display(),
        versions(found)
    )]
    Version {
        /// The folder.
        path: PathBuf,
        /// The version that its settings name.
        found: Option<String>,
        /// What differs.
        source: serde_json::Error,
    },
    /// A file in it is not what the program writes.
    #[error("{} is damaged: it is not what cutq writes", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What differs.
        source: serde_json::Error,
    },
    /// A file in it cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// The folder of a run, locked against a second writer as long as this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

const CONFIG: &str = "config.json";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `: 0.1.0, and this is 0.2.0`, as far as it is known and says something.
fn versions(found: &Option<String>) -> String {
    match found {
        Some(found) if found == VERSION => format!(": another build of {found}"),
        Some(found) => format!(": {found}, and this is {VERSION}"),
        None => String::new(),
    }
}

impl RunFolder {
    /// Makes the folder of a new run, which [`RunFolder::begin`] begins.
    ///
    /// # Errors
    /// A folder that cannot be made or holds a run.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        // The lock comes first, so that of two processes at most one finds no settings.
        let folder = Self::lock(path)?;
        match path.join(CONFIG).exists() {
            true => Err(FolderError::Occupied { path: path.to_owned() }),
            false => Ok(folder),
        }
    }

    /// Writes the settings, which make it a run that can be resumed.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn begin(&self, config: &impl Serialize) -> Result<(), FolderError> {
        Ok(self.write_json(CONFIG, config)?)
    }

    /// Opens the folder of a run that was begun, with its settings.
    ///
    /// # Errors
    /// A folder without a run, in use, or with settings that this version does not write.
    pub fn open<C: DeserializeOwned>(path: &Path) -> Result<(Self, C), FolderError> {
        if !path.join(CONFIG).exists() {
            return Err(FolderError::NotARun { path: path.to_owned() });
        }
        let folder = Self::lock(path)?;
        let config = folder.read_settings(CONFIG)?;
        Ok((folder, config))
    }

    /// The settings in the JSON file `name`.
    ///
    /// # Errors
    /// A file that cannot be read, or settings that this version does not write.
    pub fn read_settings<C: DeserializeOwned>(&self, name: &str) -> Result<C, FolderError> {
        let error = match read_json(&self.file(name)) {
            Ok(settings) => return Ok(settings),
            Err(error) => error,
        };
        // JSON all the same: with the fields of another version.
        match (error, read_json::<Value>(&self.file(name))) {
            (FolderError::Content { source, .. }, Ok(config)) => {
                let found = config["cutq"].as_str().map(str::to_owned);
                Err(FolderError::Version { path: self.path.clone(), found, source })
            }
            (error, _) => Err(error),
        }
    }

    /// Makes a folder, unless it is there, and locks it, whether there is a run in it or not.
    ///
    /// # Errors
    /// A folder that cannot be made, or that is in use.
    pub fn lock(path: &Path) -> Result<Self, FolderError> {
        fs::create_dir_all(path)
            .map_err(|source| FolderError::Create { path: path.to_owned(), source })?;
        let name = path.join("lock");
        let fault = |source| FileError { path: name.clone(), source };
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(&name).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(fault(source).into()),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file `name` in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes `value` as the JSON file `name`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), FileError> {
        let mut text = serde_json::to_vec_pretty(value).expect("settings have string keys");
        text.push(b'\n');
        replace(&self.file(name), &text)
    }
}

/// Reads a JSON file that this program wrote.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let text =
        fs::read(path).map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|source| FolderError::Content { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_made_once_and_trained_by_one() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("runs/one");
        assert!(matches!(RunFolder::open::<u32>(&path), Err(FolderError::NotARun { .. })));
        let first = RunFolder::create(&path).expect("a new run");
        first.begin(&7_u32).expect("writes");
        assert!(matches!(RunFolder::open::<u32>(&path), Err(FolderError::Locked { .. })));
        drop(first);
        assert!(matches!(RunFolder::create(&path), Err(FolderError::Occupied { .. })));
        let (_again, config) = RunFolder::open::<u32>(&path).expect("free");
        assert_eq!(config, 7);
    }

    #[test]
    fn a_run_of_another_version_is_refused_by_name() {
        let parent = tempfile::tempdir().expect("a folder");
        let refused = |text: &str| {
            fs::write(parent.path().join(CONFIG), text).expect("writes");
            RunFolder::open::<u32>(parent.path()).expect_err("no number").to_string()
        };
        let message = refused(r#"{"cutq": "0.0.1", "model": {}}"#);
        assert!(message.contains("begun by another version of cutq: 0.0.1, and"), "{message}");
        let message = refused(&format!(r#"{{"cutq": "{VERSION}"}}"#));
        assert!(message.ends_with(&format!("cutq: another build of {VERSION}")), "{message}");
        assert!(refused("{}").ends_with("begun by another version of cutq"));
        assert!(refused("{\"cutq\"").contains("is damaged"));
    }
}
