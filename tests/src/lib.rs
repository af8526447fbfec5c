//! What the proofs in `tests/tests` share, and models with random weights for them and for benches.

pub mod computing;
pub mod data;
pub mod golden;
pub mod group;
pub mod judgments;
pub mod model;
pub mod synthetic;
pub mod tiny;
pub mod tolerance;
