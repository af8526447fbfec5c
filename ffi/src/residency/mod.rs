//! Where a model's tensors are.

pub(crate) mod pinned;
pub(crate) mod stream;
pub(crate) mod weights;
