//! Optimizers: the rule that turns a gradient into a change of weights.

mod adamw;
mod sgd;
#[cfg(feature = "alloc")]
mod state;

pub use adamw::AdamW;
pub use sgd::Sgd;
#[cfg(feature = "alloc")]
pub use state::{Moments, OptimizerState, StateError};

/// An optimizer chosen at run time.
///
/// Serialized as its options beside its name, `{"optimizer": "sgd", "weight_decay": 0.0}`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    all(feature = "serde", feature = "alloc"),
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "optimizer", rename_all = "lowercase")
)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Plain gradient descent.
    Sgd(Sgd),
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::AdamW(AdamW::default())
    }
}
