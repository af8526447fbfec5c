//! The folder of one training run: what was asked, what happened, and what is needed to go on.
//!
//! | file                     | content                                              |
//! |--------------------------|------------------------------------------------------|
//! | `config.json`            | every setting, resolved, and the hashes of the inputs |
//! | `log.jsonl`              | one JSON object per step                             |
//! | `events.out.tfevents.*`  | the same curves for TensorBoard                      |
//! | `checkpoint/`            | adapter, optimizer state and step of the last save   |
//! | `summary.json`           | what the run changed, written at its end             |
//! | `lock`                   | held by the process that trains                      |

mod checkpoint;
mod events;
mod file;
mod folder;
mod log;
mod summary;

pub use checkpoint::{Checkpoint, CheckpointError, State};
pub use events::Events;
pub use file::{FileError, replace};
pub use folder::{FolderError, RunFolder};
pub use log::{Log, LogError, StepLine};
pub use summary::{EvalLine, Summary};
