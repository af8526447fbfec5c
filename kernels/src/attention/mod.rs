//! Causal grouped-query attention over packed sequences, forward and backward, in `f32`.
//!
//! Scores never leave a tile of 64 queries and as many keys: the forward pass keeps a
//! running maximum and sum per query, the backward pass recomputes the probabilities from the
//! saved log-sum-exp. What is left are small matrix products (`loops/gemm.rs`).
//!
//! The forward pass lays queries along the lanes (of a single query, the heads that share keys), the backward pass keys, so that no reduction
//! runs across lanes: every level gives the same bits (a NaN may differ in its payload).

mod backward;
mod band;
mod forward;
mod schedule;
mod shape;
mod single;
mod tensors;
mod tile;

pub use schedule::{AttentionSchedule, KeptSegment};
pub use shape::{AttentionShape, PAGE, Segment};
pub use single::Attention;
pub use tensors::{AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved};
