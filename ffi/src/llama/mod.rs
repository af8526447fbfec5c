//! llama.cpp: its model object, and generation.

pub(crate) mod generator;
pub(crate) mod model;
