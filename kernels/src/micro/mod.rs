//! The innermost loops of the products with quantized weights: one table of functions per
//! [`crate::Level`].
//!
//! The functions of a table share their contracts, which stand at the types in `contract.rs`.
//! Calling one requires the CPU features of its level; [`table()`] returns a table only where they
//! exist.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod contract;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
mod table;

pub(crate) use contract::{GroupProduct, Micro};
pub(crate) use table::table;
