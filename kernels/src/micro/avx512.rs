//! AVX-512 with VNNI: 32 outputs are two registers, six tokens keep 12 integer and 12 f32 sums.
//!
//! Per four elements of the sum's axis: two loads of weights, six broadcasts of activations,
//! twelve `vpdpbusd`. Per block of 32: twelve conversions and twelve scaled additions, about a
//! fifth of the work; blocks of 64 would halve that and coarsen the quantization.

use std::arch::x86_64::*;

use super::{Micro, RowPlace, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_QUANTS, Precision};
use crate::quant::{MAGNITUDE, factors};
use crate::softmax;

/// The AVX-512 kernels; to be handed out only where [`detected`].
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8),
    f32: by_tokens!(f32),
    quantize_row,
    quantize_columns,
    log_sum_exp,
    scaled_exp,
};

/// Floats in a register.
const LANES: usize = 16;

/// Two registers of sums for each of `N` tokens.
type Sums<const N: usize> = [[__m512; 2]; N];

/// Whether this CPU has the features of this file.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// # Safety
/// See [`super::Product`].
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
    let mut sums: Sums<N> = [[_mm512_setzero_ps(); 2]; N];
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands and their alignment.
        unsafe {
            let left = left.add(block * N * Precision::Int8.token_bytes());
            let panel = panel.add(block * Precision::Int8.panel_bytes());
            let scales = left.add(N * BLOCK).cast::<f32>();
            let corrections = scales.add(N).cast::<i32>();
            let mut products: [[__m512i; 2]; N] =
                std::array::from_fn(|t| [_mm512_set1_epi32(*corrections.add(t)); 2]);
            for word in 0..BLOCK / 4 {
                let weights = panel.cast::<__m512i>().add(2 * word);
                let weights = [_mm512_load_si512(weights), _mm512_load_si512(weights.add(1))];
                for (t, products) in products.iter_mut().enumerate() {
                    let quants = _mm512_set1_epi32(*left.cast::<i32>().add(word * N + t));
                    products[0] = _mm512_dpbusd_epi32(products[0], weights[0], quants);
                    products[1] = _mm512_dpbusd_epi32(products[1], weights[1], quants);
                }
            }
            let weight_scales = panel.add(PANEL_QUANTS).cast::<f32>();
            let weight_scales =
                [_mm512_load_ps(weight_scales), _mm512_load_ps(weight_scales.add(LANES))];
            for t in 0..N {
                let scale = _mm512_set1_ps(*scales.add(t));
                for half in 0..2 {
                    let scale = _mm512_mul_ps(scale, weight_scales[half]);
                    let product = _mm512_cvtepi32_ps(products[t][half]);
                    sums[t][half] = _mm512_fmadd_ps(product, scale, sums[t][half]);
                }
            }
        }
    }
    // SAFETY: the caller vouches for the rows of `y`.
    unsafe { store(&sums, y, stride, columns, accumulate) }
}

/// # Safety
/// See [`super::Product`].
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
    let mut sums: Sums<N> = [[_mm512_setzero_ps(); 2]; N];
    let (left, panel) = (left.cast::<f32>(), panel.cast::<f32>());
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands and their alignment.
        unsafe {
            let weights = panel.add(block * COLUMNS);
            let weights = [_mm512_load_ps(weights), _mm512_load_ps(weights.add(LANES))];
            for (t, sums) in sums.iter_mut().enumerate() {
                let token = _mm512_set1_ps(*left.add(block * N + t));
                sums[0] = _mm512_fmadd_ps(token, weights[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(token, weights[1], sums[1]);
            }
        }
    }
    // SAFETY: the caller vouches for the rows of `y`.
    unsafe { store(&sums, y, stride, columns, accumulate) }
}

/// Writes or adds the first `columns` sums of each token.
///
/// # Safety
/// Rows of `y`, `stride` floats apart, have room for `columns` floats that nothing else accesses.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn store<const N: usize>(
    sums: &Sums<N>,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mask = if columns < COLUMNS { (1u32 << columns) - 1 } else { u32::MAX };
    let masks = [mask as __mmask16, (mask >> LANES) as __mmask16];
    for (t, sums) in sums.iter().enumerate() {
        for half in 0..2 {
            // SAFETY: masked lanes are not accessed, the others lie in row `t` of `y`;
            // `wrapping_add` because the second half of a narrow row may lie outside.
            unsafe {
                let out = y.add(t * stride).wrapping_add(half * LANES);
                let mut sum = sums[half];
                if accumulate {
                    sum = _mm512_add_ps(_mm512_maskz_loadu_ps(masks[half], out), sum);
                }
                _mm512_mask_storeu_ps(out, masks[half], sum);
            }
        }
    }
}

/// # Safety
/// See [`super::QuantizeRow`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize_row(x: &[f32], out: *mut u8, place: RowPlace) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        // SAFETY: the caller vouches for every block that `place` describes.
        unsafe { quantize_block(block, out.add(index * place.block_stride), place) };
    }
    if !rest.is_empty() {
        let mut block = [0.0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        // SAFETY: the caller vouches for the last, partial block too.
        unsafe { quantize_block(&block, out.add(blocks.len() * place.block_stride), place) };
    }
}

/// # Safety
/// `out` with the strides of `place` has room for one block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize_block(x: &[f32; BLOCK], out: *mut u8, place: RowPlace) {
    // SAFETY: both halves lie in `x`; the stores are the caller's.
    unsafe {
        let x = [_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(LANES))];
        let magnitude = x
            .map(|x| _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(MAGNITUDE as i32)));
        let amax = _mm512_reduce_max_epu32(_mm512_max_epu32(magnitude[0], magnitude[1]));
        let (inverse, scale) = factors(amax);
        let quants = x.map(|x| _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_set1_ps(inverse))));
        let flip = _mm_set1_epi8(place.flip.cast_signed());
        for (half, &quants) in quants.iter().enumerate() {
            let words = _mm_xor_si128(_mm512_cvtepi32_epi8(quants), flip);
            let out = out.add(4 * half * place.word_stride);
            let word = |i: usize| out.add(i * place.word_stride).cast::<i32>();
            word(0).write(_mm_extract_epi32::<0>(words));
            word(1).write(_mm_extract_epi32::<1>(words));
            word(2).write(_mm_extract_epi32::<2>(words));
            word(3).write(_mm_extract_epi32::<3>(words));
        }
        out.add(place.scale).cast::<f32>().write(scale);
        if let Some(correction) = place.correction {
            let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(quants[0], quants[1]));
            out.add(correction).cast::<i32>().write(sum.wrapping_mul(-128));
        }
    }
}

/// # Safety
/// See [`super::QuantizeColumns`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize_columns(tile: *const f32, stride: usize, out: *mut u8) {
    for half in 0..2 {
        // SAFETY: the tile has 32 rows of 32 floats, the block 32 quants and a scale per column.
        unsafe {
            let tile = tile.add(half * LANES);
            let mut amax = _mm512_setzero_si512();
            for r in 0..BLOCK {
                let x = _mm512_castps_si512(_mm512_loadu_ps(tile.add(r * stride)));
                let magnitude = _mm512_and_si512(x, _mm512_set1_epi32(MAGNITUDE as i32));
                amax = _mm512_max_epu32(amax, magnitude);
            }
            let (inverse, scale) = lane_factors(amax);
            let scales = out.add(PANEL_QUANTS).cast::<f32>();
            _mm512_store_ps(scales.add(half * LANES), scale);
            for word in 0..BLOCK / 4 {
                let row = |i: usize| {
                    let x = _mm512_loadu_ps(tile.add((4 * word + i) * stride));
                    _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse))
                };
                let words = interleave(row(0), row(1), row(2), row(3));
                let biased = _mm512_xor_si512(words, _mm512_set1_epi8(0x80u8.cast_signed()));
                _mm512_store_si512(out.cast::<__m512i>().add(2 * word + half), biased);
            }
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

/// [`factors`] of 16 magnitudes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn lane_factors(amax: __m512i) -> (__m512, __m512) {
    // SAFETY: a register and an array of its size.
    let lanes: [u32; LANES] = unsafe { std::mem::transmute(amax) };
    let mut inverse = [0.0; LANES];
    let mut scale = [0.0; LANES];
    for i in 0..LANES {
        (inverse[i], scale[i]) = factors(lanes[i]);
    }
    // SAFETY: arrays of a register's size.
    unsafe { (_mm512_loadu_ps(inverse.as_ptr()), _mm512_loadu_ps(scale.as_ptr())) }
}

/// # Safety
/// See [`super::LogSumExp`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn log_sum_exp(row: &[f32]) -> f64 {
    softmax::log_sum_exp(row)
}

/// # Safety
/// See [`super::ScaledExp`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn scaled_exp(row: &mut [f32], shift: f32, weight: f32) {
    softmax::scaled_exp(row, shift, weight);
}
