//! What a model is made of, as data.

pub(crate) mod architecture;
pub(crate) mod projection;
