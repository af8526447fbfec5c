//! The definition of every kernel, in ordinary Rust.
//!
//! Slow and obvious; the other levels are tested against it bit for bit. `mul_add` is part of the
//! definition (one rounding, as the vector units do it), at the price of a library call on CPUs
//! without such an instruction.

use super::{Micro, RowPlace, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_QUANTS, Precision};
use crate::quant::{MAGNITUDE, factors};
use crate::softmax;

/// The plain kernels.
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8),
    f32: by_tokens!(f32),
    quantize_row,
    quantize_columns,
    log_sum_exp: softmax::log_sum_exp,
    scaled_exp: softmax::scaled_exp,
};

/// `sum += f32(correction + Σ u8 · i8) · (scale_left · scale_panel)`, block by block.
///
/// # Safety
/// See [`super::Product`].
unsafe fn int8<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mut sum = [[0.0f32; COLUMNS]; N];
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands, aligned to 4 bytes.
        let (quants, scales, corrections, weights, weight_scales) = unsafe {
            let left = left.add(block * N * Precision::Int8.token_bytes());
            let panel = panel.add(block * Precision::Int8.panel_bytes());
            (
                &*left.cast::<[[[i8; 4]; N]; BLOCK / 4]>(),
                &*left.add(N * BLOCK).cast::<[f32; N]>(),
                &*left.add(N * BLOCK + 4 * N).cast::<[i32; N]>(),
                &*panel.cast::<[[[u8; 4]; COLUMNS]; BLOCK / 4]>(),
                &*panel.add(PANEL_QUANTS).cast::<[f32; COLUMNS]>(),
            )
        };
        for t in 0..N {
            let mut products = [corrections[t]; COLUMNS];
            for (word, words) in quants.iter().zip(weights) {
                for (product, w) in products.iter_mut().zip(words) {
                    for i in 0..4 {
                        *product += i32::from(word[t][i]) * i32::from(w[i]);
                    }
                }
            }
            for c in 0..COLUMNS {
                let scale = scales[t] * weight_scales[c];
                sum[t][c] = (products[c] as f32).mul_add(scale, sum[t][c]);
            }
        }
    }
    // SAFETY: the caller vouches for the rows of `y`.
    unsafe { store(&sum, y, stride, columns, accumulate) }
}

/// `sum = fma(left, panel, sum)`, in the order of `R`.
///
/// # Safety
/// See [`super::Product`].
unsafe fn f32<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mut sum = [[0.0f32; COLUMNS]; N];
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands, aligned to 4 bytes.
        let (tokens, weights) = unsafe {
            (&*left.cast::<[f32; N]>().add(block), &*panel.cast::<[f32; COLUMNS]>().add(block))
        };
        for t in 0..N {
            for c in 0..COLUMNS {
                sum[t][c] = tokens[t].mul_add(weights[c], sum[t][c]);
            }
        }
    }
    // SAFETY: the caller vouches for the rows of `y`.
    unsafe { store(&sum, y, stride, columns, accumulate) }
}

/// Writes or adds the first `columns` sums of each token.
///
/// # Safety
/// Rows of `y`, `stride` floats apart, have room for `columns` floats that nothing else accesses.
unsafe fn store<const N: usize>(
    sum: &[[f32; COLUMNS]; N],
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    for (t, sum) in sum.iter().enumerate() {
        for (c, &value) in sum[..columns].iter().enumerate() {
            // SAFETY: inside row `t` of `y`, by this function's contract.
            unsafe {
                let out = y.add(t * stride + c);
                *out = if accumulate { *out + value } else { value };
            }
        }
    }
}

/// # Safety
/// See [`super::QuantizeRow`].
unsafe fn quantize_row(x: &[f32], out: *mut u8, place: RowPlace) {
    for (index, chunk) in x.chunks(BLOCK).enumerate() {
        let mut block = [0.0f32; BLOCK];
        block[..chunk.len()].copy_from_slice(chunk);
        let (quants, scale) = quantize(&block);
        let sum: i32 = quants.iter().map(|&q| i32::from(q)).sum();
        // SAFETY: the caller vouches for every block that `place` describes.
        unsafe {
            let out = out.add(index * place.block_stride);
            for (i, &q) in quants.iter().enumerate() {
                *out.add(i / 4 * place.word_stride + i % 4) = q.cast_unsigned() ^ place.flip;
            }
            out.add(place.scale).cast::<f32>().write(scale);
            if let Some(correction) = place.correction {
                out.add(correction).cast::<i32>().write(-128 * sum);
            }
        }
    }
}

/// # Safety
/// See [`super::QuantizeColumns`].
unsafe fn quantize_columns(tile: *const f32, stride: usize, out: *mut u8) {
    for c in 0..COLUMNS {
        // SAFETY: the tile has 32 rows of 32 columns, the block 32 quants and a scale per column.
        unsafe {
            let block = std::array::from_fn(|r| *tile.add(r * stride + c));
            let (quants, scale) = quantize(&block);
            for (r, &q) in quants.iter().enumerate() {
                *out.add((r / 4 * COLUMNS + c) * 4 + r % 4) = q.cast_unsigned() ^ 0x80;
            }
            out.add(PANEL_QUANTS).cast::<f32>().add(c).write(scale);
        }
    }
}

/// Quants and scale of one block; see [`crate::quant`].
fn quantize(block: &[f32; BLOCK]) -> ([i8; BLOCK], f32) {
    let amax = block.iter().map(|x| x.to_bits() & MAGNITUDE).max().unwrap_or(0);
    let (inverse, scale) = factors(amax);
    (block.map(|x| (x * inverse).round_ties_even() as i8), scale)
}
