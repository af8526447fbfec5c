//! What the proofs in `tests/tests` share.

pub mod data;
pub mod golden;
pub mod group;
pub mod judgments;
pub mod model;
pub mod tiny;
pub mod tolerance;
