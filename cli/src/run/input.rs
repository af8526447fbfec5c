//! Files a run reads, recognisable later.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A file and its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// Absolute, so that a run can be resumed from any folder.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// How many of them, from the start, are hashed.
    pub hashed_bytes: u64,
    /// SHA-256 of these, in hexadecimal.
    pub sha256: String,
}

/// A GGUF's metadata and tensor list fit into this; hashing all of a large model takes seconds.
const HEAD: u64 = 16 << 20;

impl InputFile {
    /// Fingerprint of a whole file.
    pub fn whole(path: &Path) -> Result<Self> {
        Self::new(path, u64::MAX)
    }

    /// Fingerprint of the length and the first part of a large file.
    pub fn head(path: &Path) -> Result<Self> {
        Self::new(path, HEAD)
    }

    fn new(path: &Path, limit: u64) -> Result<Self> {
        Self::read(path, limit).with_context(|| format!("cannot read {}", path.display()))
    }

    fn read(path: &Path, limit: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut digest = Sha256::new();
        let hashed_bytes = io::copy(&mut file.take(limit), &mut digest)?;
        Ok(Self {
            path: std::path::absolute(path)?,
            bytes,
            hashed_bytes,
            sha256: format!("{:x}", digest.finalize()),
        })
    }

    /// Checks that the file is the one whose fingerprint this is.
    pub fn verify(&self) -> Result<()> {
        let found = Self::new(&self.path, self.hashed_bytes)?;
        if found != *self {
            let path = self.path.display();
            bail!(
                "{path} has changed since the run began: it had {} bytes (sha256 {}), it has {} \
                 (sha256 {})",
                self.bytes,
                self.sha256,
                found.bytes,
                found.sha256
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        std::fs::write(&path, "abc").expect("writes");
        let input = InputFile::whole(&path).expect("reads");
        assert!(input.sha256.starts_with("ba7816bf"), "the standard's own example");
        input.verify().expect("is the same");
        for text in ["abd", "abcd"] {
            std::fs::write(&path, text).expect("writes");
            let error = input.verify().expect_err("differs").to_string();
            assert!(error.contains("has changed since the run began"), "{error}");
        }
    }
}
