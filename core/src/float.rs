//! The two number types of a model's parameters and logits.

use core::fmt::Debug;
use core::ops::{Add, Div, Mul, Sub};

/// `f32` or `f64`: what parameters and logits are kept in.
pub trait Float:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + 'static
{
    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;

    /// The value as `f64`, exactly.
    fn to_f64(self) -> f64;

    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;
}

impl Float for f32 {
    fn from_f64(x: f64) -> Self {
        x as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[cfg(feature = "std")]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[cfg(not(feature = "std"))]
    fn sqrt(self) -> Self {
        libm::sqrtf(self)
    }
}

impl Float for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }

    #[cfg(feature = "std")]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[cfg(not(feature = "std"))]
    fn sqrt(self) -> Self {
        libm::sqrt(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the feature `std` it is the processor's instruction, without it libm's function.
    #[test]
    fn the_square_root_is_correctly_rounded() {
        for i in 0..4000_u32 {
            let x = f32::from_bits(i.wrapping_mul(0x0010_6f4b) & 0x7fff_ffff);
            if x.is_finite() {
                assert_eq!(Float::sqrt(x), libm::sqrtf(x));
                assert_eq!(Float::sqrt(f64::from(x)), libm::sqrt(f64::from(x)));
            }
        }
    }
}
