//! A folder that is complete, or worked on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The user asked to stop; what is done is kept.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// One stage. `NAME.tmp` is worked in, `NAME` is complete.
pub struct Stage {
    path: PathBuf,
    work: PathBuf,
}

/// What is said about a complete stage, in its folder.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Of the process that completed it.
    seconds: f64,
}

const RECORD: &str = "stage.json";

/// Answers that were drawn.
pub(super) const ANSWERS: &str = "answers.jsonl";
/// Every reply of the judge.
pub(super) const CALLS: &str = "calls.jsonl";
/// Answers to train on.
pub(super) const DATA: &str = "data.jsonl";
/// What the judge said.
pub(super) const JUDGMENTS: &str = "judgments.jsonl";

impl Stage {
    /// The stage in `parent`.
    pub fn new(parent: &Path, name: &str) -> Self {
        Self { path: parent.join(name), work: parent.join(format!("{name}.tmp")) }
    }

    /// Its file of this name, which is there once the stage is complete.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its file of this name, complete or not; none before there is one.
    pub(super) fn found(&self, name: &str) -> Option<PathBuf> {
        [&self.path, &self.work]
            .map(|folder| folder.join(name))
            .into_iter()
            .find(|file| file.exists())
    }

    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        self.path.exists()
    }

    /// Does `work` in the stage's folder, unless it is complete. What an earlier process left there is
    /// still there.
    ///
    /// # Errors
    /// What `work` fails with; a folder that cannot be made or renamed.
    pub fn run(&self, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let started = Instant::now();
        let fault = || format!("cannot make {}", self.path.display());
        fs::create_dir_all(&self.work).with_context(fault)?;
        work(&self.work)?;
        let record = Record { seconds: started.elapsed().as_secs_f64() };
        let text = serde_json::to_vec(&record).expect("names are strings");
        fs::write(self.work.join(RECORD), text).with_context(fault)?;
        fs::rename(&self.work, &self.path).with_context(fault)
    }

    /// The time that the process took that completed it; none before that.
    pub fn seconds(&self) -> Option<f64> {
        let text = fs::read(self.file(RECORD)).ok()?;
        serde_json::from_slice(&text).ok().map(|record: Record| record.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_name_is_complete_and_is_not_done_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let stage = Stage::new(folder.path(), "sample");
        let failed = stage.run(|work| {
            fs::write(work.join("half"), "1")?;
            Err(Interrupted.into())
        });
        assert!(failed.is_err_and(|error| error.is::<Interrupted>()));
        assert!(!stage.is_done() && stage.seconds().is_none());
        stage
            .run(|work| {
                assert!(work.join("half").exists(), "goes on with what is there");
                assert_eq!(
                    Stage::new(folder.path(), "sample").found("half"),
                    Some(work.join("half"))
                );
                Ok(fs::write(work.join("whole"), "2")?)
            })
            .expect("is complete");
        assert!(stage.file("whole").exists() && stage.seconds().is_some());
        assert_eq!((stage.found("half"), stage.found("x")), (Some(stage.file("half")), None));
        stage.run(|_| panic!("it is complete")).expect("nothing to do");
    }
}
