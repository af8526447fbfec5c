//! AVX2 with 256-bit `vpdpbusd` (AVX-VNNI): all of AVX2's kernels but the int8 product.
//!
//! Twelve integer sums, six tokens by 16 outputs, leave four registers for operands; the f32
//! totals wait on the stack and are touched once per block.

use std::arch::x86_64::*;

use super::avx2;
use super::contract::{Micro, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_OFFSETS, PANEL_SCALES, Precision};

/// The AVX-VNNI kernels; to be handed out only where [`detected`].
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8),
    narrow: None,
    f32: avx2::TABLE.f32,
    quantize_activations: avx2::quantize_activations,
    quantize_weight_row: avx2::quantize_weight_row,
    quantize_weight_columns: avx2::quantize_weight_columns,
};

/// Floats in a register.
const LANES: usize = 8;

/// Whether this CPU has the features of this file.
pub(super) fn detected() -> bool {
    avx2::detected() && is_x86_feature_detected!("avxvnni")
}

/// # Safety
/// See [`super::contract::GroupProduct`].
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn int8<const N: usize>(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
) {
    for start in (0..columns).step_by(2 * LANES) {
        let mut totals = [[_mm256_setzero_ps(); 2]; N];
        for block in 0..blocks {
            // SAFETY: the caller vouches for `blocks` blocks of both operands.
            unsafe {
                let left = left.add(block * N * Precision::Int8.token_bytes());
                let panel = panel.add(block * Precision::Int8.panel_bytes());
                let scales = left.add(N * BLOCK).cast::<f32>();
                let sums = scales.add(N);
                let products = block_products::<N>(left, panel.add(4 * start));
                let weight_scales = panel.add(PANEL_SCALES).cast::<f32>().add(start);
                let offsets = panel.add(PANEL_OFFSETS).cast::<f32>().add(start);
                for half in 0..2 {
                    let weight_scales = _mm256_loadu_ps(weight_scales.add(half * LANES));
                    let offsets = _mm256_loadu_ps(offsets.add(half * LANES));
                    for t in 0..N {
                        let scale = _mm256_mul_ps(_mm256_set1_ps(*scales.add(t)), weight_scales);
                        let sum = _mm256_set1_ps(*sums.add(t));
                        let total = _mm256_fmadd_ps(sum, offsets, totals[t][half]);
                        let product = _mm256_cvtepi32_ps(products[t][half]);
                        totals[t][half] = _mm256_fmadd_ps(product, scale, total);
                    }
                }
            }
        }
        let columns = (columns - start).min(2 * LANES);
        // SAFETY: the caller vouches for the rows of `y`; the part begins inside them.
        unsafe { avx2::store(&totals, y.add(start), stride, columns, accumulate) }
    }
}

/// `Σ u8 · i8` over one block, for 16 outputs that begin at `weights`.
///
/// # Safety
/// `left` holds the quants of a block, `weights` the same of a panel from the first output on.
#[inline]
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn block_products<const N: usize>(left: *const u8, weights: *const u8) -> [[__m256i; 2]; N] {
    let mut products = [[_mm256_setzero_si256(); 2]; N];
    for word in 0..BLOCK / 4 {
        // SAFETY: the word lies in the block, by this function's contract.
        unsafe {
            let weights = weights.add(word * COLUMNS * 4).cast::<__m256i>();
            let weights = [_mm256_loadu_si256(weights), _mm256_loadu_si256(weights.add(1))];
            for (t, products) in products.iter_mut().enumerate() {
                let quants = _mm256_set1_epi32(*left.cast::<i32>().add(word * N + t));
                products[0] = _mm256_dpbusd_avx_epi32(products[0], weights[0], quants);
                products[1] = _mm256_dpbusd_avx_epi32(products[1], weights[1], quants);
            }
        }
    }
    products
}
