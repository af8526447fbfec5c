//! AVX2 and FMA, for x86-64 CPUs of the last decade without VNNI.
//!
//! Sixteen registers hold the sums of six tokens for a part of a panel only, so each product
//! passes over its operands once per part: 8 outputs at a time in int8, 16 in f32.
//!
//! Int8: `vpmaddubsw` adds two products in 16 bits, where those of whole bytes, up to 255 · 127, do
//! not fit. So it multiplies the upper and the lower four bits of the weights by themselves: sixteen
//! products of up to 15 · 128, all that a lane's sum of a block has, stay below 2¹⁵, and sums are
//! widened once per block. A block of weights that were stored in four bits has no upper half, of
//! five bits half of a block fits, and of seven bits two products, 127 · 127 each: those need the
//! fewest instructions of all that do not fit a block, which is why columns have seven.

use std::arch::x86_64::*;
use std::hint::black_box;

use super::contract::{Micro, Narrow, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_OFFSETS, PANEL_SCALES, Precision};
use crate::quant::{
    ACTIVATION, COLUMN, COLUMN_BIAS, INFINITE, MAGNITUDE, Padding, affine, column_offset, factors,
    padded,
};

/// The AVX2 kernels; to be handed out only where [`detected`].
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8, 8),
    narrow: Some(Narrow {
        bits,
        products: [(4, by_tokens!(int8, 4)), (5, by_tokens!(int8, 5)), (7, by_tokens!(int8, 7))],
    }),
    f32: by_tokens!(f32),
    quantize_activations,
    quantize_weight_row,
    quantize_weight_columns,
};

/// Floats in a register.
const LANES: usize = 8;

/// Whether this CPU has the features of this file.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// # Safety
/// See [`super::contract::Bits`].
#[target_feature(enable = "avx2,fma")]
unsafe fn bits(panel: *const u8, blocks: usize) -> u32 {
    let mut any = _mm256_setzero_si256();
    for block in 0..blocks {
        for part in 0..BLOCK * COLUMNS / 32 {
            // SAFETY: the caller vouches for `blocks` blocks, whose quants come first.
            let quants = unsafe {
                let block = panel.add(block * Precision::Int8.panel_bytes());
                _mm256_loadu_si256(block.cast::<__m256i>().add(part))
            };
            any = _mm256_or_si256(any, quants);
        }
    }
    let within = |mask: u8| _mm256_testz_si256(any, _mm256_set1_epi8(mask.cast_signed())) == 1;
    match (within(0x80), within(0xe0), within(0xf0)) {
        (_, _, true) => 4,
        (_, true, _) => 5,
        (true, ..) => 7,
        _ => 8,
    }
}

/// Of quants of at most `BITS` bits, which are 4, 5, 7 or 8.
///
/// # Safety
/// See [`super::contract::GroupProduct`]; the quants of `panel` have no more bits.
#[target_feature(enable = "avx2,fma")]
unsafe fn int8<const N: usize, const BITS: u32>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    // A compiler that knows this number unrolls the block, sorts its additions, and has too few
    // registers for what it made: 73 Gop/s instead of 98 with eight bits on a Zen 3.
    let words = black_box(BLOCK / 4);
    for part in 0..columns.div_ceil(LANES) {
        let columns = (columns - part * LANES).min(LANES);
        // SAFETY: the caller vouches for `blocks` blocks of both operands and the rows of `y`. A
        // part's first quants, scale and offset are its own words, so that all lie as far on.
        unsafe {
            let panel = panel.add(part * LANES * 4);
            let totals = totals::<N, BITS>(left, panel, blocks, words);
            store(&totals, y.add(part * LANES), stride, columns, accumulate);
        }
    }
}

/// The products of a group of tokens and 8 outputs of a panel.
///
/// # Safety
/// `left` and `panel` hold `blocks` blocks, `panel` from the first of the outputs on; `words` is 8.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn totals<const N: usize, const BITS: u32>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    words: usize,
) -> [[__m256; 1]; N] {
    let mut totals = [[_mm256_setzero_ps(); 1]; N];
    for block in 0..blocks {
        // SAFETY: this function's contract.
        unsafe {
            let left = left.add(block * N * Precision::Int8.token_bytes());
            let panel = panel.add(block * Precision::Int8.panel_bytes());
            let products = match BITS {
                4 => narrow_products::<N, 8>(left, panel, words),
                5 => narrow_products::<N, 4>(left, panel, words),
                7 => narrow_products::<N, 1>(left, panel, words),
                _ => wide_products::<N>(left, panel, words),
            };
            let scales = left.add(N * BLOCK).cast::<f32>();
            let sums = scales.add(N);
            let weight_scales = _mm256_loadu_ps(panel.add(PANEL_SCALES).cast());
            let offsets = _mm256_loadu_ps(panel.add(PANEL_OFFSETS).cast());
            for t in 0..N {
                let scale = _mm256_mul_ps(_mm256_set1_ps(*scales.add(t)), weight_scales);
                let sum = _mm256_set1_ps(*sums.add(t));
                let total = _mm256_fmadd_ps(sum, offsets, totals[t][0]);
                totals[t][0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[t]), scale, total);
            }
        }
    }
    totals
}

/// A word of a block for 8 outputs.
///
/// # Safety
/// `weights` has the quants of a block of a panel from the first output on; `index` is below 8.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn word(weights: *const u8, index: usize) -> __m256i {
    // SAFETY: the word lies in the block, by this function's contract.
    unsafe { _mm256_loadu_si256(weights.add(index * COLUMNS * 4).cast::<__m256i>()) }
}

/// `Σ u8 · i8` over the `words` words of a block, for 8 outputs that begin at `weights`, where sums
/// of `4 · WORDS` products fit into two lanes of 16 bits.
///
/// # Safety
/// `left` holds the quants of a block, `weights` as for [`word`]; `words` is 8.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn narrow_products<const N: usize, const WORDS: usize>(
    left: *const u8,
    weights: *const u8,
    words: usize,
) -> [__m256i; N] {
    let mut totals = [_mm256_setzero_si256(); N];
    for first in (0..words).step_by(WORDS) {
        let mut sums = [_mm256_setzero_si256(); N];
        for index in first..first + WORDS {
            // SAFETY: this function's contract; `left` has `N` words for each of the weights'.
            let (word, quants) =
                unsafe { (word(weights, index), left.cast::<i32>().add(index * N)) };
            for (t, sum) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let quants = _mm256_set1_epi32(unsafe { *quants.add(t) });
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(word, quants));
            }
        }
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = _mm256_add_epi32(*total, widened::<1>(sum));
        }
    }
    totals
}

/// [`narrow_products`] of any quants.
///
/// # Safety
/// See [`narrow_products`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn wide_products<const N: usize>(
    left: *const u8,
    weights: *const u8,
    words: usize,
) -> [__m256i; N] {
    let (mut low, mut high) = ([_mm256_setzero_si256(); N], [_mm256_setzero_si256(); N]);
    let half = |bytes| _mm256_and_si256(bytes, _mm256_set1_epi8(0x0f));
    for index in 0..words {
        // SAFETY: as for `narrow_products`.
        let (word, quants) = unsafe { (word(weights, index), left.cast::<i32>().add(index * N)) };
        let halves = [half(word), half(_mm256_srli_epi16::<4>(word))];
        for t in 0..N {
            // SAFETY: as above.
            let quants = _mm256_set1_epi32(unsafe { *quants.add(t) });
            low[t] = _mm256_add_epi16(low[t], _mm256_maddubs_epi16(halves[0], quants));
            high[t] = _mm256_add_epi16(high[t], _mm256_maddubs_epi16(halves[1], quants));
        }
    }
    std::array::from_fn(|t| _mm256_add_epi32(widened::<1>(low[t]), widened::<16>(high[t])))
}

/// `FACTOR` times the sums of pairs of 16 bits, in 32.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn widened<const FACTOR: i16>(sums: __m256i) -> __m256i {
    _mm256_madd_epi16(sums, _mm256_set1_epi16(FACTOR))
}

/// # Safety
/// See [`super::contract::GroupProduct`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn f32<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let (left, panel) = (left.cast::<f32>(), panel.cast::<f32>());
    for start in (0..columns).step_by(2 * LANES) {
        let mut sums = [[_mm256_setzero_ps(); 2]; N];
        for block in 0..blocks {
            // SAFETY: the caller vouches for `blocks` blocks of both operands.
            unsafe {
                let weights = panel.add(block * COLUMNS + start);
                let weights = [_mm256_loadu_ps(weights), _mm256_loadu_ps(weights.add(LANES))];
                for (t, sums) in sums.iter_mut().enumerate() {
                    let token = _mm256_set1_ps(*left.add(block * N + t));
                    sums[0] = _mm256_fmadd_ps(token, weights[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(token, weights[1], sums[1]);
                }
            }
        }
        let columns = (columns - start).min(2 * LANES);
        // SAFETY: the caller vouches for the rows of `y`; the part begins inside them.
        unsafe { store(&sums, y.add(start), stride, columns, accumulate) }
    }
}

/// Writes or adds the first `columns` sums of each token.
///
/// # Safety
/// Rows of `y`, `stride` floats apart, have room for `columns` floats that nothing else accesses;
/// `columns` is at least 1 and at most `8 · P`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn store<const N: usize, const P: usize>(
    sums: &[[__m256; P]; N],
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (t, sums) in sums.iter().enumerate() {
        for (part, &sum) in sums.iter().enumerate() {
            let end = columns as i32 - (part * LANES) as i32;
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lane);
            // Masked stores of whole registers would take AMD's cores ten times as long.
            let is_whole = end >= LANES as i32;
            // SAFETY: masked lanes are not accessed, the others lie in row `t` of `y`;
            // `wrapping_add` because the later parts of a narrow row may lie outside.
            unsafe {
                let out = y.add(t * stride).wrapping_add(part * LANES);
                match (is_whole, accumulate) {
                    (true, true) => _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), sum)),
                    (true, false) => _mm256_storeu_ps(out, sum),
                    (false, true) => {
                        let sum = _mm256_add_ps(_mm256_maskload_ps(out, mask), sum);
                        _mm256_maskstore_ps(out, mask, sum);
                    }
                    (false, false) => _mm256_maskstore_ps(out, mask, sum),
                }
            }
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeActivations`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn quantize_activations(x: &[f32], out: *mut u8, n: usize) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::Zero)).enumerate() {
        let x = registers(block);
        let (inverse, scale) = factors(largest(amax(x)), ACTIVATION);
        let quants = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(inverse))));
        let words = _mm256_packs_epi16(
            _mm256_packs_epi32(quants[0], quants[1]),
            _mm256_packs_epi32(quants[2], quants[3]),
        );
        let sum = _mm256_add_epi32(
            _mm256_add_epi32(quants[0], quants[1]),
            _mm256_add_epi32(quants[2], quants[3]),
        );
        // SAFETY: a register and an array of its size.
        let sum: [i32; LANES] = unsafe { std::mem::transmute(sum) };
        let sum = sum.iter().fold(0i32, |sum, &lane| sum.wrapping_add(lane));
        // SAFETY: the caller vouches for every block of the group.
        unsafe {
            let out = out.add(index * n * Precision::Int8.token_bytes());
            write_packed(words, out, n);
            out.add(n * BLOCK).cast::<f32>().write(scale);
            out.add(n * BLOCK + 4 * n).cast::<f32>().write(scale * sum as f32);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightRow`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn quantize_weight_row(x: &[f32], out: *mut u8) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::First)).enumerate() {
        let x = registers(block);
        let min = _mm256_min_ps(_mm256_min_ps(x[0], x[1]), _mm256_min_ps(x[2], x[3]));
        let max = _mm256_max_ps(_mm256_max_ps(x[0], x[1]), _mm256_max_ps(x[2], x[3]));
        let (min, max) = smallest_and_largest(min, max);
        let infinite = _mm256_set1_epi32(INFINITE.cast_signed() - 1);
        let infinite = _mm256_movemask_epi8(_mm256_cmpgt_epi32(amax(x), infinite));
        let affine = affine(min, max, infinite == 0);
        let (inverse, offset) = (_mm256_set1_ps(affine.inverse), _mm256_set1_ps(affine.offset));
        let quants =
            x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_sub_ps(x, offset), inverse)));
        let words = _mm256_packus_epi16(
            _mm256_packs_epi32(quants[0], quants[1]),
            _mm256_packs_epi32(quants[2], quants[3]),
        );
        // SAFETY: the caller vouches for every block of the panel.
        unsafe {
            let out = out.add(index * Precision::Int8.panel_bytes());
            write_packed(words, out, COLUMNS);
            out.add(PANEL_SCALES).cast::<f32>().write(affine.scale);
            out.add(PANEL_OFFSETS).cast::<f32>().write(affine.offset);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightColumns`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn quantize_weight_columns(tile: *const f32, stride: usize, out: *mut u8) {
    for part in 0..COLUMNS / LANES {
        // SAFETY: the tile has 32 rows of 32 floats, the block a word of everything per column.
        unsafe {
            let tile = tile.add(part * LANES);
            let amax =
                amax(std::array::from_fn::<_, BLOCK, _>(|r| _mm256_loadu_ps(tile.add(r * stride))));
            let [inverse, scale, offset] = lane_factors(amax);
            _mm256_storeu_ps(out.add(PANEL_SCALES).cast::<f32>().add(part * LANES), scale);
            _mm256_storeu_ps(out.add(PANEL_OFFSETS).cast::<f32>().add(part * LANES), offset);
            for word in 0..BLOCK / 4 {
                let row = |i: usize| {
                    let x = _mm256_loadu_ps(tile.add((4 * word + i) * stride));
                    _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse))
                };
                let words = interleave(row(0), row(1), row(2), row(3));
                let biased = _mm256_add_epi8(words, _mm256_set1_epi8(COLUMN_BIAS.cast_signed()));
                _mm256_storeu_si256(out.cast::<__m256i>().add(word * 4 + part), biased);
            }
        }
    }
}

/// A block as four registers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn registers(block: &[f32; BLOCK]) -> [__m256; BLOCK / LANES] {
    // SAFETY: each register lies in the block.
    std::array::from_fn(|i| unsafe { _mm256_loadu_ps(block.as_ptr().add(i * LANES)) })
}

/// Writes the eight words of a block, `n` words apart.
///
/// The words are in the order in which packing within halves of registers leaves them.
///
/// # Safety
/// `out` has room for eight words at that distance.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn write_packed(words: __m256i, out: *mut u8, n: usize) {
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let words = _mm256_permutevar8x32_epi32(words, order);
    // SAFETY: a register and an array of its size.
    let words: [i32; LANES] = unsafe { std::mem::transmute(words) };
    for (i, &word) in words.iter().enumerate() {
        // SAFETY: the word has room by this function's contract.
        unsafe { out.add(i * 4 * n).cast::<i32>().write(word) }
    }
}

/// The low bytes of four vectors as the four bytes of each lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn interleave(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    let byte = |x| _mm256_and_si256(x, _mm256_set1_epi32(0xff));
    let low = _mm256_or_si256(byte(a), _mm256_slli_epi32::<8>(byte(b)));
    let high = _mm256_or_si256(byte(c), _mm256_slli_epi32::<8>(byte(d)));
    _mm256_or_si256(low, _mm256_slli_epi32::<16>(high))
}

/// Bits of the largest magnitude in each lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn amax<const ROWS: usize>(x: [__m256; ROWS]) -> __m256i {
    let mask = _mm256_set1_epi32(MAGNITUDE.cast_signed());
    let mut amax = _mm256_setzero_si256();
    for x in x {
        amax = _mm256_max_epu32(amax, _mm256_and_si256(_mm256_castps_si256(x), mask));
    }
    amax
}

/// Largest of eight unsigned lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn largest(lanes: __m256i) -> u32 {
    let four = _mm_max_epu32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_max_epu32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    let one = _mm_max_epu32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
    _mm_cvtsi128_si32(one).cast_unsigned()
}

/// The least lane of one register and the greatest of another.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn smallest_and_largest(min: __m256, max: __m256) -> (f32, f32) {
    // Both at once: the greatest of the negated lanes is the least. Minima take the low half.
    let negated = _mm256_xor_ps(min, _mm256_set1_ps(-0.0));
    let lanes = _mm256_max_ps(
        _mm256_permute2f128_ps::<0x20>(negated, max),
        _mm256_permute2f128_ps::<0x31>(negated, max),
    );
    let lanes = _mm256_max_ps(lanes, _mm256_permute_ps::<0b01_00_11_10>(lanes));
    let lanes = _mm256_max_ps(lanes, _mm256_permute_ps::<0b10_11_00_01>(lanes));
    let max = _mm256_extractf128_ps::<1>(lanes);
    (-_mm256_cvtss_f32(lanes), _mm_cvtss_f32(max))
}

/// [`factors`] of 8 columns, and [`column_offset`] of the scales.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn lane_factors(amax: __m256i) -> [__m256; 3] {
    // SAFETY: a register and an array of its size.
    let lanes: [u32; LANES] = unsafe { std::mem::transmute(amax) };
    let mut out = [[0.0; LANES]; 3];
    for i in 0..LANES {
        (out[0][i], out[1][i]) = factors(lanes[i], COLUMN);
        out[2][i] = column_offset(out[1][i]);
    }
    // SAFETY: arrays of a register's size.
    out.map(|lanes| unsafe { _mm256_loadu_ps(lanes.as_ptr()) })
}
