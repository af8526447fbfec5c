//! The real binary, as a person runs it, on SmolLM2-135M.
//!
//! These tests stand beside the binary's package, since only there cargo builds it for them.
#![allow(missing_docs, clippy::unwrap_used)]

mod align;
mod bad_input;
mod bench;
mod busy;
mod data;
mod devices;
#[path = "../../src/judge/http/faulty.rs"]
mod faulty;
mod finetune;
mod generate;
mod generate_data;
mod help;
mod inspect;
mod judge;
mod judge_http;
mod judge_human;
mod length;
mod memory;
mod models;
mod page;
mod place;
mod resume;
#[path = "../../src/data/tokenize/scripts.rs"]
mod scripts;
mod simd;
mod split;
