//! The parts of the `cutq` program that tests reach from outside: reading data and keeping runs.
#![forbid(unsafe_code)]

pub mod dataset;
pub mod run;
