//! Answers to many prompts: drawn in batches, written as they come, the same whenever they are drawn.
//!
//! An answer depends on the model, its prompt, the seed and its number among the prompt's samples; not
//! on the prompts beside it, nor on how many are drawn at the same time. So a run that was killed goes
//! on with what is missing.
//!
//! | module     | what it is                                             |
//! |------------|--------------------------------------------------------|
//! | `settings` | how tokens are chosen                                  |
//! | `task`     | a prompt, and which of its samples is wanted           |
//! | `seed`     | the seed of an answer                                  |
//! | `sampler`  | the model that answers                                 |
//! | `memory`   | how many answers are written at the same time          |
//! | `answer`   | an answer as a line of JSON                            |
//! | `part`     | the answers so far, in a file beside the one they become |
//! | `progress` | how far it is                                          |
//! | `batch`    | from tasks to the file of answers                      |

mod answer;
mod batch;
mod memory;
mod part;
mod progress;
mod sampler;
mod seed;
mod settings;
mod task;

pub use batch::{Batch, Outcome};
pub use memory::plan;
pub use part::PartFile;
pub use sampler::{Completion, Sampler, SamplerOptions};
pub use settings::Sampling;
pub use task::Task;
