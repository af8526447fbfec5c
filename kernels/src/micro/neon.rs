//! NEON with the dot-product extension (ARMv8.2 and later: Apple's M series, Neoverse,
//! Cortex-A76).
//!
//! Of 32 registers, 24 hold the sums of six tokens for 16 outputs, half a panel; the int8 totals of
//! the whole panel wait on the stack and are touched once per block.
//!
//! Int8: `sdot` multiplies signed by signed, and weights are unsigned. With `w = u - 128`, which is
//! `u` with its highest bit turned, `Σ q u = Σ q w + 128 Σ q`; the second term, the same for all
//! outputs, is where the sums begin. Every `i32` is exact. `usdot` would save both steps, on the
//! CPUs that have `i8mm`.

use std::arch::aarch64::*;
use std::arch::asm;

use super::contract::{Micro, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_OFFSETS, PANEL_SCALES, Precision};
use crate::quant::{
    ACTIVATION, COLUMN, COLUMN_BIAS, INFINITE, MAGNITUDE, Padding, affine, column_offset, factors,
    padded,
};

/// The NEON kernels; to be handed out only where [`detected`].
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8),
    narrow: None,
    f32: by_tokens!(f32),
    quantize_activations,
    quantize_weight_row,
    quantize_weight_columns,
};

/// What turns unsigned quants into signed ones, and back.
const SIGN: u8 = 0x80;

/// Floats in a register.
const LANES: usize = 4;

/// Registers of sums for each token.
const PARTS: usize = 4;

/// Outputs that have their sums in registers at a time.
const WIDTH: usize = PARTS * LANES;

/// Whether this CPU has the features of this file.
pub(super) fn detected() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// # Safety
/// See [`super::contract::GroupProduct`].
#[target_feature(enable = "dotprod")]
unsafe fn int8<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mut totals = [[[vdupq_n_f32(0.0); PARTS]; N]; COLUMNS / WIDTH];
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands.
        unsafe {
            let left = left.add(block * N * Precision::Int8.token_bytes());
            let panel = panel.add(block * Precision::Int8.panel_bytes());
            let scales = left.add(N * BLOCK).cast::<f32>();
            let sums = scales.add(N);
            let biases = biases::<N>(left);
            for (start, totals) in (0..columns).step_by(WIDTH).zip(&mut totals) {
                let products = block_products(left, panel.add(4 * start), biases);
                let weight_scales = panel.add(PANEL_SCALES).cast::<f32>().add(start);
                let offsets = panel.add(PANEL_OFFSETS).cast::<f32>().add(start);
                for part in 0..PARTS {
                    let weight_scales = vld1q_f32(weight_scales.add(part * LANES));
                    let offsets = vld1q_f32(offsets.add(part * LANES));
                    for t in 0..N {
                        let scale = vmulq_n_f32(weight_scales, *scales.add(t));
                        let total = vfmaq_n_f32(totals[t][part], offsets, *sums.add(t));
                        let product = vcvtq_f32_s32(products[t][part]);
                        totals[t][part] = vfmaq_f32(total, product, scale);
                    }
                }
            }
        }
    }
    for (start, totals) in (0..columns).step_by(WIDTH).zip(&totals) {
        // SAFETY: the caller vouches for the rows of `y`; the part begins inside them.
        unsafe { store(totals, y.add(start), stride, columns - start, accumulate) }
    }
}

/// `128 Σ q` of each token in a block, in all lanes.
///
/// # Safety
/// `left` holds the quants of a block.
#[inline]
#[target_feature(enable = "dotprod")]
unsafe fn biases<const N: usize>(left: *const u8) -> [int32x4_t; N] {
    let mut sums = [vdupq_n_s32(0); N];
    for word in 0..BLOCK / 4 {
        for (t, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the word lies in the block, by this function's contract.
            let quants = unsafe { *left.cast::<f32>().add(word * N + t) };
            *sum = dot(*sum, vdupq_n_s8(1), quants);
        }
    }
    for sum in &mut sums {
        *sum = vmulq_n_s32(*sum, i32::from(SIGN));
    }
    sums
}

/// `Σ u8 · i8` over one block, for 16 outputs that begin at `weights`.
///
/// # Safety
/// `left` holds the quants of a block, whose [`biases`] are given, `weights` the same of a panel
/// from the first output on.
#[inline]
#[target_feature(enable = "dotprod")]
unsafe fn block_products<const N: usize>(
    left: *const u8,
    weights: *const u8,
    biases: [int32x4_t; N],
) -> [[int32x4_t; PARTS]; N] {
    let mut products = [[vdupq_n_s32(0); PARTS]; N];
    for (products, bias) in products.iter_mut().zip(biases) {
        *products = [bias; PARTS];
    }
    for word in 0..BLOCK / 4 {
        // SAFETY: the word lies in the block, by this function's contract.
        unsafe {
            let weights = weights.add(word * COLUMNS * 4);
            let mut signed = [vdupq_n_s8(0); PARTS];
            for (part, signed) in signed.iter_mut().enumerate() {
                let weights = vld1q_u8(weights.add(part * 4 * LANES));
                *signed = vreinterpretq_s8_u8(veorq_u8(weights, vdupq_n_u8(SIGN)));
            }
            for (t, products) in products.iter_mut().enumerate() {
                let quants = *left.cast::<f32>().add(word * N + t);
                for (product, weights) in products.iter_mut().zip(signed) {
                    *product = dot(*product, weights, quants);
                }
            }
        }
    }
    products
}

/// `sum[c] + Σ_i weights[c, i] quants[i]` with the four quants in the bits of an `f32`, which puts
/// them into a vector register without a detour.
#[inline]
#[target_feature(enable = "dotprod")]
fn dot(mut sum: int32x4_t, weights: int8x16_t, quants: f32) -> int32x4_t {
    // SAFETY: arithmetic on registers; this function has the feature. (The intrinsic,
    // `vdotq_lane_s32`, is not stable.)
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {quants:v}.4b[0]",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            quants = in(vreg) quants,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// # Safety
/// See [`super::contract::GroupProduct`].
#[target_feature(enable = "neon")]
unsafe fn f32<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let (left, panel) = (left.cast::<f32>(), panel.cast::<f32>());
    for start in (0..columns).step_by(WIDTH) {
        let mut sums = [[vdupq_n_f32(0.0); PARTS]; N];
        for block in 0..blocks {
            // SAFETY: the caller vouches for `blocks` blocks of both operands.
            unsafe {
                let weights = panel.add(block * COLUMNS + start);
                let weights: [float32x4_t; PARTS] =
                    std::array::from_fn(|part| vld1q_f32(weights.add(part * LANES)));
                for (t, sums) in sums.iter_mut().enumerate() {
                    let token = *left.add(block * N + t);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = vfmaq_n_f32(*sum, weights, token);
                    }
                }
            }
        }
        // SAFETY: the caller vouches for the rows of `y`; the part begins inside them.
        unsafe { store(&sums, y.add(start), stride, columns - start, accumulate) }
    }
}

/// Writes or adds the first `columns` sums of each token, at most [`WIDTH`].
///
/// # Safety
/// Rows of `y`, `stride` floats apart, have room for `columns` floats that nothing else accesses.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store<const N: usize>(
    sums: &[[float32x4_t; PARTS]; N],
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    for (t, sums) in sums.iter().enumerate() {
        for (start, &sum) in (0..columns).step_by(LANES).zip(sums) {
            // SAFETY: no more than `columns` floats of row `t` of `y` are accessed.
            unsafe {
                let out = y.add(t * stride + start);
                if columns - start >= LANES {
                    let sum = if accumulate { vaddq_f32(vld1q_f32(out), sum) } else { sum };
                    vst1q_f32(out, sum);
                } else {
                    let mut lanes = [0.0; LANES];
                    vst1q_f32(lanes.as_mut_ptr(), sum);
                    for (c, &sum) in lanes[..columns - start].iter().enumerate() {
                        let out = out.add(c);
                        *out = if accumulate { *out + sum } else { sum };
                    }
                }
            }
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeActivations`].
#[target_feature(enable = "neon")]
unsafe fn quantize_activations(x: &[f32], out: *mut u8, n: usize) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::Zero)).enumerate() {
        let x = registers(block);
        let (inverse, scale) = factors(vmaxvq_u32(amax(x)), ACTIVATION);
        let quants = x.map(|x| vcvtnq_s32_f32(vmulq_n_f32(x, inverse)));
        let sum = vaddvq_s32(quants.into_iter().fold(vdupq_n_s32(0), |sum, q| vaddq_s32(sum, q)));
        let [a, b, c, d, e, f, g, h] = quants.map(|q| vmovn_s32(q));
        let bytes =
            |a, b, c, d| vcombine_s8(vmovn_s16(vcombine_s16(a, b)), vmovn_s16(vcombine_s16(c, d)));
        let words = [bytes(a, b, c, d), bytes(e, f, g, h)].map(|b| vreinterpretq_u32_s8(b));
        // SAFETY: the caller vouches for every block of the group.
        unsafe {
            let out = out.add(index * n * Precision::Int8.token_bytes());
            write_words(words, out, n);
            out.add(n * BLOCK).cast::<f32>().write(scale);
            out.add(n * BLOCK + 4 * n).cast::<f32>().write(scale * sum as f32);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightRow`].
#[target_feature(enable = "neon")]
unsafe fn quantize_weight_row(x: &[f32], out: *mut u8) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::First)).enumerate() {
        let x = registers(block);
        let min = vminvq_f32(x.into_iter().fold(x[0], |min, x| vminq_f32(min, x)));
        let max = vmaxvq_f32(x.into_iter().fold(x[0], |max, x| vmaxq_f32(max, x)));
        let affine = affine(min, max, vmaxvq_u32(amax(x)) < INFINITE);
        let offset = vdupq_n_f32(affine.offset);
        let quants = x.map(|x| vcvtnq_u32_f32(vmulq_n_f32(vsubq_f32(x, offset), affine.inverse)));
        let [a, b, c, d, e, f, g, h] = quants.map(|q| vqmovn_u32(q));
        let bytes = |a, b, c, d| {
            vcombine_u8(vqmovn_u16(vcombine_u16(a, b)), vqmovn_u16(vcombine_u16(c, d)))
        };
        let words = [bytes(a, b, c, d), bytes(e, f, g, h)].map(|b| vreinterpretq_u32_u8(b));
        // SAFETY: the caller vouches for every block of the panel.
        unsafe {
            let out = out.add(index * Precision::Int8.panel_bytes());
            write_words(words, out, COLUMNS);
            out.add(PANEL_SCALES).cast::<f32>().write(affine.scale);
            out.add(PANEL_OFFSETS).cast::<f32>().write(affine.offset);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightColumns`].
#[target_feature(enable = "neon")]
unsafe fn quantize_weight_columns(tile: *const f32, stride: usize, out: *mut u8) {
    for start in (0..COLUMNS).step_by(LANES) {
        // SAFETY: the tile has 32 rows of 32 floats, the block a word of everything per column.
        unsafe {
            let (tile, out) = (tile.add(start), out.add(4 * start));
            let amax =
                amax(std::array::from_fn::<_, BLOCK, _>(|r| vld1q_f32(tile.add(r * stride))));
            let [inverse, scale, offset] = lane_factors(amax);
            vst1q_f32(out.add(PANEL_SCALES).cast(), scale);
            vst1q_f32(out.add(PANEL_OFFSETS).cast(), offset);
            for word in 0..BLOCK / 4 {
                let row = |i: usize| {
                    let x = vld1q_f32(tile.add((4 * word + i) * stride));
                    vcvtnq_s32_f32(vmulq_f32(x, inverse))
                };
                let words = interleave(row(0), row(1), row(2), row(3));
                let biased = vaddq_u8(words, vdupq_n_u8(COLUMN_BIAS));
                vst1q_u8(out.add(word * COLUMNS * 4), biased);
            }
        }
    }
}

/// A block as eight registers.
#[inline]
#[target_feature(enable = "neon")]
fn registers(block: &[f32; BLOCK]) -> [float32x4_t; BLOCK / LANES] {
    // SAFETY: each register lies in the block.
    std::array::from_fn(|i| unsafe { vld1q_f32(block.as_ptr().add(i * LANES)) })
}

/// Bits of the largest magnitude in each lane.
#[inline]
#[target_feature(enable = "neon")]
fn amax<const ROWS: usize>(x: [float32x4_t; ROWS]) -> uint32x4_t {
    let mut amax = vdupq_n_u32(0);
    for x in x {
        amax = vmaxq_u32(amax, vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(MAGNITUDE)));
    }
    amax
}

/// Writes the eight words of a block, `n` words apart.
///
/// # Safety
/// `out` has room for eight words at that distance.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn write_words(words: [uint32x4_t; 2], out: *mut u8, n: usize) {
    // SAFETY: registers and an array of their size.
    let words: [u32; BLOCK / 4] = unsafe { std::mem::transmute(words) };
    for (i, &word) in words.iter().enumerate() {
        // SAFETY: the word has room by this function's contract.
        unsafe { out.add(i * 4 * n).cast::<u32>().write(word) }
    }
}

/// The low bytes of four vectors as the four bytes of each lane.
#[inline]
#[target_feature(enable = "neon")]
fn interleave(a: int32x4_t, b: int32x4_t, c: int32x4_t, d: int32x4_t) -> uint8x16_t {
    // `vsli` shifts the second operand and keeps the low bits of the first.
    let (low, high) = (vsliq_n_s32::<8>(a, b), vsliq_n_s32::<8>(c, d));
    vreinterpretq_u8_s32(vsliq_n_s32::<16>(low, high))
}

/// [`factors`] of 4 columns, and [`column_offset`] of the scales.
#[inline]
#[target_feature(enable = "neon")]
fn lane_factors(amax: uint32x4_t) -> [float32x4_t; 3] {
    // SAFETY: a register and an array of its size.
    let lanes: [u32; LANES] = unsafe { std::mem::transmute(amax) };
    let mut out = [[0.0; LANES]; 3];
    for i in 0..LANES {
        (out[0][i], out[1][i]) = factors(lanes[i], COLUMN);
        out[2][i] = column_offset(out[1][i]);
    }
    // SAFETY: arrays of a register's size.
    out.map(|lanes| unsafe { vld1q_f32(lanes.as_ptr()) })
}
