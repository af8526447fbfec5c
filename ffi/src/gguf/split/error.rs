//! Why the shards of a model cannot be put together.

use std::path::PathBuf;

/// Why the shards of a model cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Another shard than the first was opened.
    #[error(
        "{path}: this is shard {} of {count} of a split model\nhint: name the first shard, {first}",
        no + 1
    )]
    NotFirst {
        /// The file.
        path: PathBuf,
        /// Its number, from 0.
        no: usize,
        /// How many shards there are.
        count: usize,
        /// The name that the first has.
        first: PathBuf,
    },
    /// The others cannot be found.
    #[error(
        "{path}: this is the first of {count} shards, but its name does not end in {ending:?}, by \
         which the others are found\nhint: give the shards the names that they had"
    )]
    Name {
        /// The file.
        path: PathBuf,
        /// How many shards there are.
        count: usize,
        /// How its name should end.
        ending: String,
    },
    /// A shard is not there.
    #[error(
        "{path} is missing: it is shard {} of {count} of a split model\nhint: all shards belong \
         into one folder",
        no + 1
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// Its number, from 0.
        no: usize,
        /// How many shards there are.
        count: usize,
    },
    /// A file has a shard's name, but belongs to another model.
    #[error(
        "{path}: not shard {} of this model: {reason}\nhint: download the shards again, from one place",
        no + 1
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The number that its name says, from 0.
        no: usize,
        /// What does not fit.
        reason: String,
    },
    /// Tensors are missing, or there are too many.
    #[error(
        "{path}: its {count} shards hold {found} tensors, split.tensors.count says {expected}\n\
         hint: download the shards again, from one place"
    )]
    TensorCount {
        /// The first shard.
        path: PathBuf,
        /// How many shards there are.
        count: usize,
        /// Tensors that there are.
        found: usize,
        /// Tensors that there should be.
        expected: usize,
    },
}
