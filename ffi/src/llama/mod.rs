//! llama.cpp: its model object with the vocabulary, and generation.

pub(crate) mod error;
pub(crate) mod generator;
pub(crate) mod model;
mod pace;
pub(crate) mod sampler;
mod utf8;
