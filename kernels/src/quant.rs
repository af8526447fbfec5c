//! The int8 quantization of a block, common to activations and weights.
//!
//! `scale = amax / 127`, `q = round(x · 127 / amax)`, ties to even, so `|q| <= 127` and the error
//! of an element is at most `amax / 254`. A block that holds an infinity or a NaN gets the scale
//! NaN: every sum it enters becomes NaN instead of a plausible number. A block whose largest
//! magnitude is below `2^-120` counts as zero, because `127 / amax` would overflow.

/// Bits of the smallest magnitude that is not taken as zero, `2^-120`.
const SMALLEST: u32 = (127 - 120) << 23;

/// Bits of infinity; a magnitude at or above it is not finite.
const INFINITE: u32 = f32::INFINITY.to_bits();

/// Mask that clears the sign of an `f32`.
///
/// Magnitudes compare as integers: NaN > infinity > every finite number. So the largest bits find
/// `amax` and anything that is not finite in one pass.
pub(crate) const MAGNITUDE: u32 = 0x7fff_ffff;

/// `127 / amax` and `amax / 127` from the bits of `amax`.
#[inline(always)]
pub(crate) fn factors(amax: u32) -> (f32, f32) {
    if amax >= INFINITE {
        (0.0, f32::NAN)
    } else if amax < SMALLEST {
        (0.0, 0.0)
    } else {
        let amax = f32::from_bits(amax);
        (127.0 / amax, amax * (1.0 / 127.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_at_the_edges() {
        assert_eq!(factors(0), (0.0, 0.0));
        assert_eq!(factors(1e-38f32.to_bits()), (0.0, 0.0));
        assert!(factors(f32::INFINITY.to_bits()).1.is_nan());
        assert!(factors(f32::NAN.to_bits() & MAGNITUDE).1.is_nan());
        for amax in [1e-36f32, 1.0, 3.0, f32::MAX] {
            let (inverse, scale) = factors(amax.to_bits());
            assert!(inverse.is_finite() && scale > 0.0);
            assert_eq!((amax * inverse).round_ties_even(), 127.0);
        }
    }
}
