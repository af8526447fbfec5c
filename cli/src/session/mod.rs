//! What every command works with: the open model, the memory of this machine, the plan of a run.

pub mod budget;
pub mod memory;
pub mod model;
mod plan_figures;

pub use plan_figures::PlanFigures;
