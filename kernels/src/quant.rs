//! The quantization of a block of 32 to at most 8 bits, common to all levels.
//!
//! | block             | from        | scale `s`           | quants                   | offset   |
//! |-------------------|-------------|---------------------|--------------------------|----------|
//! | activations       | [`factors`] | `amax / 127`        | `q = round(x / s)`       |          |
//! | row of weights    | [`affine`]  | `(max - min) / 255` | `u = round((x - min)/s)` | `min`    |
//! | column of weights | [`factors`] | `amax / 63`         | `u = round(x / s) + 64`  | `-64 s`  |
//!
//! Rounding is to nearest, ties to even, of a product with the inverse factor, so `|q| <= 127`,
//! `0 <= u <= 255`, of columns `1 <= u <= 127`, and an element is off by at most half a scale.
//!
//! A row of weights gets the affine form because its blocks lie along the blocks of the file that
//! it comes from, mostly affine themselves: those that say so ([`QuantBlock`](crate::QuantBlock))
//! are taken as they are. A column crosses those blocks; nothing is exact there, and the
//! symmetric form needs one pass less. It has seven bits, because AVX2 multiplies them half as fast
//! again as eight (`micro/avx2.rs`), and the gradient hardly minds: on SmolLM2-135M Q4_1 its smallest
//! cosine with PyTorch's is 0.9920 with either in the feed-forward network, and 0.973 instead of
//! 0.977 in attention.
//!
//! A block that holds an infinity or a NaN, or whose `max - min` exceeds `f32`, gets the scale
//! NaN: every sum it enters becomes NaN instead of a plausible number. `amax` below `2^-120`
//! counts as zero, and `max - min` below it as a constant block, which its offset holds: the
//! inverse would overflow.

use crate::layout::BLOCK;

/// Bits of the smallest magnitude that is not taken as zero, `2^-120`.
const SMALLEST: u32 = (127 - 120) << 23;

/// Bits of infinity; a magnitude at or above it is not finite.
pub(crate) const INFINITE: u32 = f32::INFINITY.to_bits();

/// Mask that clears the sign of an `f32`.
///
/// Magnitudes compare as integers: NaN > infinity > every finite number. So the largest bits find
/// `amax` and anything that is not finite in one pass.
pub(crate) const MAGNITUDE: u32 = 0x7fff_ffff;

/// The largest quant of activations.
pub(crate) const ACTIVATION: f32 = 127.0;

/// The largest quant of a column of weights, before [`COLUMN_BIAS`].
pub(crate) const COLUMN: f32 = 63.0;

/// What the quants of a column are raised by to be stored unsigned.
pub(crate) const COLUMN_BIAS: u8 = 64;

/// `largest / amax` and `amax / largest` from the bits of `amax`; `largest` is that of the quants.
#[inline(always)]
pub(crate) fn factors(amax: u32, largest: f32) -> (f32, f32) {
    if amax >= INFINITE {
        (0.0, f32::NAN)
    } else if amax < SMALLEST {
        (0.0, 0.0)
    } else {
        let amax = f32::from_bits(amax);
        (largest / amax, amax * (1.0 / largest))
    }
}

/// Offset that takes [`COLUMN_BIAS`] back.
#[inline(always)]
pub(crate) fn column_offset(scale: f32) -> f32 {
    -f32::from(COLUMN_BIAS) * scale
}

/// How a block of weights becomes `offset + scale · u`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    /// `255 / (max - min)`
    pub inverse: f32,
    /// `(max - min) / 255`
    pub scale: f32,
    /// `min`
    pub offset: f32,
}

/// The affine quantization of a block between `min` and `max`; they may be anything if the block
/// is not `finite`.
#[inline(always)]
pub(crate) fn affine(min: f32, max: f32, finite: bool) -> Affine {
    // Of zeros with both signs either may come out as the least or the greatest, depending on the
    // order of comparison: no sign of a zero may leave here.
    let range = (max - min).abs();
    let offset = min + 0.0;
    if !finite || range.to_bits() >= INFINITE {
        Affine { inverse: 0.0, scale: f32::NAN, offset: 0.0 }
    } else if range.to_bits() < SMALLEST {
        Affine { inverse: 0.0, scale: 0.0, offset }
    } else {
        Affine { inverse: 255.0 / range, scale: range * (1.0 / 255.0), offset }
    }
}

/// The last block of a row, where it is a part of one: filled up with `padding`.
#[inline(always)]
pub(crate) fn padded(rest: &[f32], padding: Padding) -> Option<[f32; BLOCK]> {
    let &first = rest.first()?;
    let mut block = match padding {
        Padding::Zero => [0.0; BLOCK],
        Padding::First => [first; BLOCK],
    };
    block[..rest.len()].copy_from_slice(rest);
    Some(block)
}

/// What fills up a partial block.
#[derive(Clone, Copy)]
pub(crate) enum Padding {
    /// Zeros, which add nothing to a sum: activations.
    Zero,
    /// The block's first element, which leaves its range alone: weights, as whatever stands there
    /// is multiplied by the zeros of the activations.
    First,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_at_the_edges() {
        for largest in [ACTIVATION, COLUMN] {
            assert_eq!(factors(0, largest), (0.0, 0.0));
            assert_eq!(factors(1e-38f32.to_bits(), largest), (0.0, 0.0));
            assert!(factors(f32::INFINITY.to_bits(), largest).1.is_nan());
            assert!(factors(f32::NAN.to_bits() & MAGNITUDE, largest).1.is_nan());
            for amax in [1e-36f32, 1.0, 3.0, f32::MAX] {
                let (inverse, scale) = factors(amax.to_bits(), largest);
                assert!(inverse.is_finite() && scale > 0.0);
                assert_eq!((amax * inverse).round_ties_even(), largest);
            }
        }
    }

    #[test]
    fn affine_at_the_edges() {
        for constant in [0.0, -0.0, 1e-40, -3.5, f32::MAX] {
            let expected = Affine { inverse: 0.0, scale: 0.0, offset: constant };
            assert_eq!(affine(constant, constant, true), expected);
        }
        for (min, max) in [(0.0, -0.0), (-0.0, 0.0), (-0.0, -0.0)] {
            let Affine { inverse, scale, offset } = affine(min, max, true);
            assert_eq!([inverse, scale, offset].map(f32::to_bits), [0; 3]);
        }
        assert!(affine(0.0, 1.0, false).scale.is_nan());
        assert!(affine(-f32::MAX, f32::MAX, true).scale.is_nan(), "the range overflows");
        let smallest = f32::from_bits(SMALLEST);
        for (min, max) in [(0.0, smallest), (-3.0, 7.0), (1e30, 1.1e30), (-f32::MAX, 0.0)] {
            let Affine { inverse, scale, offset } = affine(min, max, true);
            assert!(inverse.is_finite() && scale > 0.0 && offset == min);
            assert_eq!(((max - min) * inverse).round_ties_even(), 255.0);
        }
    }

    #[test]
    fn padding_keeps_the_range() {
        assert_eq!(padded(&[], Padding::First), None);
        let block = padded(&[5.0, 7.0], Padding::First).expect("a partial block");
        assert_eq!(block[..3], [5.0, 7.0, 5.0]);
        assert_eq!(padded(&[5.0], Padding::Zero).map(|block| block[BLOCK - 1]), Some(0.0));
    }
}
