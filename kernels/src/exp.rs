//! The exponential function, for loops over lanes of an array.
//!
//! The usual reduction by powers of two, with a Taylor polynomial of degree 7 on
//! `|r| <= ln(2)/2`; what remains is `f32` rounding.

/// `exp(x)` for `x` up to 88; zero below -87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer in the low mantissa bits; 127 more is the exponent's
    // bias, so that a shift turns them into the bits of 2^n.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    // ln 2 in two parts; their sum has twice the precision.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let biased = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let power = f32::from_bits(biased.to_bits() << 23);
    let n = biased - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let mut sum = 1.0f32 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(r, coefficient);
    }
    if x < -87.0 { 0.0 } else { sum * power }
}
