//! `CUTQ_SIMD`, from the environment to the kernels in use.

mod support;

use cutq_kernels::{Kernels, Level, PackedActivations, Precision, SimdError};
use support::numbers;

const VARIABLE: &str = "CUTQ_SIMD";

fn set(value: &str) {
    // SAFETY: the test below is the only one of this process, and starts no thread.
    unsafe { std::env::set_var(VARIABLE, value) }
}

#[test]
fn the_variable_chooses_the_level() {
    let (x, weights) = (numbers(7 * 40, 1), numbers(5 * 40, 2));
    let product = |kernels: Kernels| {
        let unpack = |m: usize, k: usize, part: &mut [f32]| {
            part.copy_from_slice(&weights[m * 40 + k..][..part.len()]);
        };
        PackedActivations::pack(kernels, Precision::Int8, &x, 7, 40).product(&unpack, 5)
    };
    let defined = product(support::plain());
    for level in Level::ALL {
        set(level.name());
        match (Kernels::detect(), Kernels::with(level)) {
            (Ok(kernels), Some(_)) => {
                assert_eq!(kernels.level(), level);
                assert_eq!(product(kernels), defined, "{level}");
            }
            (Err(error), None) => {
                assert!(matches!(error, SimdError::Unsupported { level: l, .. } if l == level));
                assert!(error.to_string().contains(level.name()), "{error}");
            }
            (found, _) => panic!("{VARIABLE}={level} leads to {found:?}"),
        }
    }
    set("sse9");
    let error = Kernels::detect().expect_err("no level has this name");
    for level in Level::ALL {
        assert!(error.to_string().contains(level.name()), "{error} does not offer {level}");
    }
    // SAFETY: as for `set`.
    unsafe { std::env::remove_var(VARIABLE) };
    let highest = support::levels().last().map(Kernels::level);
    assert_eq!(Kernels::detect().ok().map(|kernels| kernels.level()), highest);
}
