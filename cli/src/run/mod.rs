//! The folder of one training run: what was asked, what happened, and what is needed to resume.
//!
//! | file                     | content                                              |
//! |--------------------------|------------------------------------------------------|
//! | `config.json`            | every setting, resolved, and the hashes of the inputs |
//! | `data-N.jsonl`           | data that came through a pipe                        |
//! | `log.jsonl`              | one JSON object per step                             |
//! | `events.out.tfevents.*`  | the same curves for TensorBoard                      |
//! | `checkpoint/`            | adapter, optimizer state and step of the last save   |
//! | `summary.json`           | what the run changed, written at its end             |
//! | `lock`                   | held by the process that trains                      |

mod checkpoint;
mod difference;
mod events;
mod file;
mod folder;
mod input;
mod log;
mod reading;
mod settings;
mod summary;

pub use checkpoint::{Checkpoint, State};
pub use difference::Difference;
pub use events::Events;
pub use folder::RunFolder;
pub use input::InputFile;
pub use log::{Log, StepLine};
pub use reading::Reading;
pub use settings::{DataSettings, EngineSettings, LoraSettings, PromptSettings, Settings};
pub use summary::{Summary, inappropriate_share, quotes};
