//! What the benchmarks share.
#![allow(dead_code, reason = "each benchmark takes what it needs")]

pub mod peak;
pub mod threads;
pub mod timing;

/// A number between -1 and 1 for every index, independent enough for rounding errors to average
/// out: a hash.
pub fn number(i: usize) -> f32 {
    let hash = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (hash >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}
