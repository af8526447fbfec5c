//! One module per command.

mod bench;
mod finetune;
mod generate;
mod inspect;
mod model;

pub use bench::bench;
pub use finetune::finetune;
pub use generate::generate;
pub use inspect::inspect;
