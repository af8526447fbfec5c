//! Exponential functions, for loops over lanes of an array.
//!
//! The usual reduction by powers of two and a polynomial of what is left: a Taylor polynomial of
//! degree 7 on `|r| <= ln(2)/2` for `exp`, one of degree 6 with the least largest relative error on
//! `|r| <= 1/2` for `exp2`. What remains is `f32` rounding.

/// Adding 1.5 · 2^23 rounds to an integer in the low mantissa bits; 127 more is the exponent's
/// bias, so that a shift turns them into the bits of 2^n.
const ROUND: f32 = 12_582_912.0 + 127.0;

/// `exp(x)` for `x` up to 88; zero below -87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
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

/// `2^x` for `x` up to 127; zero from -126.5 downwards.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    // The bits of 2^-127 are those of zero. NaN is not below.
    let x = if x < -127.0 { -127.0 } else { x };
    let biased = x + ROUND;
    let power = f32::from_bits(biased.to_bits() << 23);
    let r = x - (biased - ROUND);
    let mut sum = 1.535_336_2e-4f32;
    for coefficient in
        [1.339_887_5e-3, 9.618_437e-3, 5.550_332_4e-2, 0.240_226_48, std::f32::consts::LN_2, 1.0]
    {
        sum = sum.mul_add(r, coefficient);
    }
    sum * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two() {
        for i in (-12_600..12_700).step_by(if cfg!(miri) { 997 } else { 1 }) {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp2();
            let error = f64::from(exp2(x)) / expected - 1.0;
            assert!(error.abs() < 1.2e-7, "{x}: {error}");
        }
        assert_eq!([0.0, 1.0, -126.0, -3.0].map(exp2), [1.0, 2.0, f32::MIN_POSITIVE, 0.125]);
        assert_eq!([-126.5, -1e9, f32::NEG_INFINITY].map(exp2), [0.0; 3]);
        assert!([f32::NAN, f32::INFINITY].map(exp2).iter().all(|x| x.is_nan()));
    }
}
