//! AVX-512 with VNNI: 32 outputs are two registers, six tokens keep 12 integer sums of a block
//! and 12 f32 totals.
//!
//! Per four elements of the sum's axis: two loads of weights, six broadcasts of activations,
//! twelve `vpdpbusd`. Per block of 32: twelve conversions, multiplications of scales, and additions
//! of a scaled product and of an offset, about a quarter of the work; blocks of 64 would halve that
//! and coarsen the quantization.

use std::arch::x86_64::*;

use super::contract::{Micro, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_OFFSETS, PANEL_SCALES, Precision};
use crate::quant::{
    ACTIVATION, COLUMN, COLUMN_BIAS, INFINITE, MAGNITUDE, Padding, affine, column_offset, factors,
    padded,
};

/// The AVX-512 kernels; to be handed out only where [`detected`].
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8),
    narrow: None,
    f32: by_tokens!(f32),
    quantize_activations,
    quantize_weight_row,
    quantize_weight_columns,
};

/// Floats in a register.
const LANES: usize = 16;

/// Two registers of totals for each of `N` tokens.
type Totals<const N: usize> = [[__m512; 2]; N];

/// Whether this CPU has the features of this file.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// # Safety
/// See [`super::contract::GroupProduct`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn int8<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mut totals: Totals<N> = [[_mm512_setzero_ps(); 2]; N];
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands and their alignment.
        unsafe {
            let left = left.add(block * N * Precision::Int8.token_bytes());
            let panel = panel.add(block * Precision::Int8.panel_bytes());
            let scales = left.add(N * BLOCK).cast::<f32>();
            let sums = scales.add(N);
            let offsets = panel.add(PANEL_OFFSETS).cast::<f32>();
            let offsets = [_mm512_load_ps(offsets), _mm512_load_ps(offsets.add(LANES))];
            for (t, totals) in totals.iter_mut().enumerate() {
                let sum = _mm512_set1_ps(*sums.add(t));
                totals[0] = _mm512_fmadd_ps(sum, offsets[0], totals[0]);
                totals[1] = _mm512_fmadd_ps(sum, offsets[1], totals[1]);
            }
            let mut products = [[_mm512_setzero_si512(); 2]; N];
            for word in 0..BLOCK / 4 {
                let weights = panel.cast::<__m512i>().add(2 * word);
                let weights = [_mm512_load_si512(weights), _mm512_load_si512(weights.add(1))];
                for (t, products) in products.iter_mut().enumerate() {
                    let quants = _mm512_set1_epi32(*left.cast::<i32>().add(word * N + t));
                    products[0] = _mm512_dpbusd_epi32(products[0], weights[0], quants);
                    products[1] = _mm512_dpbusd_epi32(products[1], weights[1], quants);
                }
            }
            let weight_scales = panel.add(PANEL_SCALES).cast::<f32>();
            let weight_scales =
                [_mm512_load_ps(weight_scales), _mm512_load_ps(weight_scales.add(LANES))];
            for t in 0..N {
                let scale = _mm512_set1_ps(*scales.add(t));
                for half in 0..2 {
                    let scale = _mm512_mul_ps(scale, weight_scales[half]);
                    let product = _mm512_cvtepi32_ps(products[t][half]);
                    totals[t][half] = _mm512_fmadd_ps(product, scale, totals[t][half]);
                }
            }
        }
    }
    // SAFETY: the caller vouches for the rows of `y`.
    unsafe { store(&totals, y, stride, columns, accumulate) }
}

/// # Safety
/// See [`super::contract::GroupProduct`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn f32<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mut totals: Totals<N> = [[_mm512_setzero_ps(); 2]; N];
    let (left, panel) = (left.cast::<f32>(), panel.cast::<f32>());
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands and their alignment.
        unsafe {
            let weights = panel.add(block * COLUMNS);
            let weights = [_mm512_load_ps(weights), _mm512_load_ps(weights.add(LANES))];
            for (t, totals) in totals.iter_mut().enumerate() {
                let token = _mm512_set1_ps(*left.add(block * N + t));
                totals[0] = _mm512_fmadd_ps(token, weights[0], totals[0]);
                totals[1] = _mm512_fmadd_ps(token, weights[1], totals[1]);
            }
        }
    }
    // SAFETY: the caller vouches for the rows of `y`.
    unsafe { store(&totals, y, stride, columns, accumulate) }
}

/// Writes or adds the first `columns` totals of each token.
///
/// # Safety
/// Rows of `y`, `stride` floats apart, have room for `columns` floats that nothing else accesses.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn store<const N: usize>(
    totals: &Totals<N>,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mask = if columns < COLUMNS { (1u32 << columns) - 1 } else { u32::MAX };
    let masks = [mask as __mmask16, (mask >> LANES) as __mmask16];
    for (t, totals) in totals.iter().enumerate() {
        for half in 0..2 {
            // SAFETY: masked lanes are not accessed, the others lie in row `t` of `y`;
            // `wrapping_add` because the second half of a narrow row may lie outside.
            unsafe {
                let out = y.add(t * stride).wrapping_add(half * LANES);
                let mut total = totals[half];
                if accumulate {
                    total = _mm512_add_ps(_mm512_maskz_loadu_ps(masks[half], out), total);
                }
                _mm512_mask_storeu_ps(out, masks[half], total);
            }
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeActivations`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize_activations(x: &[f32], out: *mut u8, n: usize) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::Zero)).enumerate() {
        let x = registers(block);
        let (inverse, scale) = factors(_mm512_reduce_max_epu32(amax(x)), ACTIVATION);
        let quants = x.map(|x| _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_set1_ps(inverse))));
        let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(quants[0], quants[1]));
        // SAFETY: the caller vouches for every block of the group.
        unsafe {
            let out = out.add(index * n * Precision::Int8.token_bytes());
            write_words(quants.map(|quants| _mm512_cvtepi32_epi8(quants)), out, n);
            out.add(n * BLOCK).cast::<f32>().write(scale);
            out.add(n * BLOCK + 4 * n).cast::<f32>().write(scale * sum as f32);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightRow`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize_weight_row(x: &[f32], out: *mut u8) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::First)).enumerate() {
        let x = registers(block);
        let min = _mm512_reduce_min_ps(_mm512_min_ps(x[0], x[1]));
        let max = _mm512_reduce_max_ps(_mm512_max_ps(x[0], x[1]));
        let infinite = _mm512_set1_epi32(INFINITE.cast_signed());
        let infinite = _mm512_cmpge_epu32_mask(amax(x), infinite);
        let affine = affine(min, max, infinite == 0);
        let (inverse, offset) = (_mm512_set1_ps(affine.inverse), _mm512_set1_ps(affine.offset));
        let quants =
            x.map(|x| _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(x, offset), inverse)));
        // SAFETY: the caller vouches for every block of the panel.
        unsafe {
            let out = out.add(index * Precision::Int8.panel_bytes());
            write_words(quants.map(|quants| _mm512_cvtusepi32_epi8(quants)), out, COLUMNS);
            out.add(PANEL_SCALES).cast::<f32>().write(affine.scale);
            out.add(PANEL_OFFSETS).cast::<f32>().write(affine.offset);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightColumns`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize_weight_columns(tile: *const f32, stride: usize, out: *mut u8) {
    for half in 0..2 {
        // SAFETY: the tile has 32 rows of 32 floats, the block a word of everything per column.
        unsafe {
            let tile = tile.add(half * LANES);
            let amax =
                amax(std::array::from_fn::<_, BLOCK, _>(|r| _mm512_loadu_ps(tile.add(r * stride))));
            let [inverse, scale, offset] = lane_factors(amax);
            _mm512_store_ps(out.add(PANEL_SCALES).cast::<f32>().add(half * LANES), scale);
            _mm512_store_ps(out.add(PANEL_OFFSETS).cast::<f32>().add(half * LANES), offset);
            for word in 0..BLOCK / 4 {
                let row = |i: usize| {
                    let x = _mm512_loadu_ps(tile.add((4 * word + i) * stride));
                    _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse))
                };
                let words = interleave(row(0), row(1), row(2), row(3));
                let biased = _mm512_add_epi8(words, _mm512_set1_epi8(COLUMN_BIAS.cast_signed()));
                _mm512_store_si512(out.cast::<__m512i>().add(2 * word + half), biased);
            }
        }
    }
}

/// A block as two registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn registers(block: &[f32; BLOCK]) -> [__m512; 2] {
    // SAFETY: both halves lie in the block.
    unsafe { [_mm512_loadu_ps(block.as_ptr()), _mm512_loadu_ps(block.as_ptr().add(LANES))] }
}

/// Bits of the largest magnitude in each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn amax<const ROWS: usize>(x: [__m512; ROWS]) -> __m512i {
    let mask = _mm512_set1_epi32(MAGNITUDE.cast_signed());
    let mut amax = _mm512_setzero_si512();
    for x in x {
        amax = _mm512_max_epu32(amax, _mm512_and_si512(_mm512_castps_si512(x), mask));
    }
    amax
}

/// Writes the eight words of a block, `n` words apart.
///
/// # Safety
/// `out` has room for eight words at that distance.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn write_words(words: [__m128i; 2], out: *mut u8, n: usize) {
    // SAFETY: every word has room by this function's contract.
    unsafe {
        for (half, &words) in words.iter().enumerate() {
            let out = out.add(16 * half * n);
            let word = |i: usize| out.add(4 * i * n).cast::<i32>();
            word(0).write(_mm_extract_epi32::<0>(words));
            word(1).write(_mm_extract_epi32::<1>(words));
            word(2).write(_mm_extract_epi32::<2>(words));
            word(3).write(_mm_extract_epi32::<3>(words));
        }
    }
}

/// The low bytes of four vectors as the four bytes of each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn interleave(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    // Select bits of the first operand where the mask is set, else of the second.
    let select = |mask: i32, x, y| _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi32(mask), x, y);
    let low = select(0xff, a, _mm512_slli_epi32::<8>(b));
    let high = select(0xff, c, _mm512_slli_epi32::<8>(d));
    select(0xffff, low, _mm512_slli_epi32::<16>(high))
}

/// [`factors`] of 16 columns, and [`column_offset`] of the scales.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn lane_factors(amax: __m512i) -> [__m512; 3] {
    // SAFETY: a register and an array of its size.
    let lanes: [u32; LANES] = unsafe { std::mem::transmute(amax) };
    let mut out = [[0.0; LANES]; 3];
    for i in 0..LANES {
        (out[0][i], out[1][i]) = factors(lanes[i], COLUMN);
        out[2][i] = column_offset(out[1][i]);
    }
    // SAFETY: arrays of a register's size.
    out.map(|lanes| unsafe { _mm512_loadu_ps(lanes.as_ptr()) })
}
