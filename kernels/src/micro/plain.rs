//! The definition of every kernel, in ordinary Rust.
//!
//! Slow and obvious; the other levels are tested against it bit for bit. `mul_add` is part of the
//! definition (one rounding, as the vector units do it), at the price of a library call on CPUs
//! without such an instruction.

use super::contract::{Micro, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_OFFSETS, PANEL_SCALES, Precision};
use crate::quant::{
    ACTIVATION, COLUMN, COLUMN_BIAS, INFINITE, MAGNITUDE, Padding, affine, column_offset, factors,
    padded,
};

/// The plain kernels.
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8),
    narrow: None,
    f32: by_tokens!(f32),
    quantize_activations,
    quantize_weight_row,
    quantize_weight_columns,
};

/// `y += sum · offset`, then `y += f32(Σ u8 · i8) · (scale_left · scale_panel)`, block by block.
///
/// # Safety
/// See [`super::contract::GroupProduct`].
unsafe fn int8<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    let mut totals = [[0.0f32; COLUMNS]; N];
    for block in 0..blocks {
        // SAFETY: the caller vouches for `blocks` blocks of both operands, aligned to 4 bytes.
        let (quants, scales, sums, weights, weight_scales, offsets) = unsafe {
            let left = left.add(block * N * Precision::Int8.token_bytes());
            let panel = panel.add(block * Precision::Int8.panel_bytes());
            (
                &*left.cast::<[[[i8; 4]; N]; BLOCK / 4]>(),
                &*left.add(N * BLOCK).cast::<[f32; N]>(),
                &*left.add(N * BLOCK + 4 * N).cast::<[f32; N]>(),
                &*panel.cast::<[[[u8; 4]; COLUMNS]; BLOCK / 4]>(),
                &*panel.add(PANEL_SCALES).cast::<[f32; COLUMNS]>(),
                &*panel.add(PANEL_OFFSETS).cast::<[f32; COLUMNS]>(),
            )
        };
        for t in 0..N {
            let mut products = [0i32; COLUMNS];
            for (word, words) in quants.iter().zip(weights) {
                for (product, w) in products.iter_mut().zip(words) {
                    for i in 0..4 {
                        *product += i32::from(word[t][i]) * i32::from(w[i]);
                    }
                }
            }
            for c in 0..COLUMNS {
                let scale = scales[t] * weight_scales[c];
                let total = sums[t].mul_add(offsets[c], totals[t][c]);
                totals[t][c] = (products[c] as f32).mul_add(scale, total);
            }
        }
    }
    // SAFETY: the caller vouches for the rows of `y`.
    unsafe { store(&totals, y, stride, columns, accumulate) }
}

/// `sum = fma(left, panel, sum)`, in the order of `R`.
///
/// # Safety
/// See [`super::contract::GroupProduct`].
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
/// See [`super::contract::QuantizeActivations`].
unsafe fn quantize_activations(x: &[f32], out: *mut u8, n: usize) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::Zero)).enumerate() {
        let (quants, scale) = symmetric(block, ACTIVATION);
        let sum: i32 = quants.iter().map(|&q| i32::from(q)).sum();
        // SAFETY: the caller vouches for every block of the group.
        unsafe {
            let out = out.add(index * n * Precision::Int8.token_bytes());
            write_quants(quants.map(i8::cast_unsigned), out, n);
            out.add(n * BLOCK).cast::<f32>().write(scale);
            out.add(n * BLOCK + 4 * n).cast::<f32>().write(scale * sum as f32);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightRow`].
unsafe fn quantize_weight_row(x: &[f32], out: *mut u8) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().chain(&padded(rest, Padding::First)).enumerate() {
        let min = block.iter().fold(f32::INFINITY, |min, &x| min.min(x));
        let max = block.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
        let affine = affine(min, max, amax(block) < INFINITE);
        let quants = block.map(|x| ((x - affine.offset) * affine.inverse).round_ties_even() as u8);
        // SAFETY: the caller vouches for every block of the panel.
        unsafe {
            let out = out.add(index * Precision::Int8.panel_bytes());
            write_quants(quants, out, COLUMNS);
            out.add(PANEL_SCALES).cast::<f32>().write(affine.scale);
            out.add(PANEL_OFFSETS).cast::<f32>().write(affine.offset);
        }
    }
}

/// # Safety
/// See [`super::contract::QuantizeWeightColumns`].
unsafe fn quantize_weight_columns(tile: *const f32, stride: usize, out: *mut u8) {
    for c in 0..COLUMNS {
        // SAFETY: the tile has 32 rows of 32 columns, the block a word of everything per column.
        unsafe {
            let block = std::array::from_fn(|r| *tile.add(r * stride + c));
            let (quants, scale) = symmetric(&block, COLUMN);
            let out = out.add(4 * c);
            let biased = quants.map(|q| q.cast_unsigned().wrapping_add(COLUMN_BIAS));
            write_quants(biased, out, COLUMNS);
            out.add(PANEL_SCALES).cast::<f32>().write(scale);
            out.add(PANEL_OFFSETS).cast::<f32>().write(column_offset(scale));
        }
    }
}

/// Quants and scale of one block; see [`crate::quant`].
fn symmetric(block: &[f32; BLOCK], largest: f32) -> ([i8; BLOCK], f32) {
    let (inverse, scale) = factors(amax(block), largest);
    (block.map(|x| (x * inverse).round_ties_even() as i8), scale)
}

/// Bits of the largest magnitude.
fn amax(block: &[f32; BLOCK]) -> u32 {
    block.iter().map(|x| x.to_bits() & MAGNITUDE).max().unwrap_or(0)
}

/// Writes a block's words of four quants, `n` words apart.
///
/// # Safety
/// There is room for eight words at that distance.
unsafe fn write_quants(quants: [u8; BLOCK], out: *mut u8, n: usize) {
    for (i, q) in quants.into_iter().enumerate() {
        // SAFETY: word `i / 4` has room by this function's contract.
        unsafe { *out.add(i / 4 * 4 * n + i % 4) = q }
    }
}
