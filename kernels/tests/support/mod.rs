//! What the tests of the kernels share.
#![allow(dead_code, reason = "each test takes what it needs")]

use cutq_kernels::{Kernels, Level};

/// The level that defines every result.
pub fn plain() -> Kernels {
    Kernels::with(Level::Plain).expect("the plain level always exists")
}

/// Sizes of a test, and those under Miri, which is ten thousand times slower.
pub const fn sizes<T: Copy>(natively: T, under_miri: T) -> T {
    if cfg!(miri) { under_miri } else { natively }
}

/// Levels that this CPU has; says so for those that it has not.
pub fn levels() -> Vec<Kernels> {
    let found = |&level: &Level| {
        let kernels = Kernels::with(level);
        if kernels.is_none() {
            eprintln!("level {level} is missing on this CPU and was not tested");
        }
        kernels
    };
    Level::ALL.iter().filter_map(found).collect()
}

/// Reproducible numbers of very different sizes, block by block.
pub fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|i| next() * [1.0, 0.01, 30.0, 1e-5][i / 37 % 4]).collect()
}
