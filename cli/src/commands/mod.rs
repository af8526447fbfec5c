//! One module per command.

mod align;
mod bench;
mod data;
mod devices;
mod finetune;
mod generate;
mod inspect;
mod judge;
mod models;
mod plan;

pub use align::align;
pub use bench::bench;
pub use data::data;
pub use devices::devices;
pub use finetune::finetune;
pub use generate::generate;
pub use inspect::inspect;
pub use judge::judge;
pub use models::models;
pub use plan::plan;
