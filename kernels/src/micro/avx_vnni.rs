//! AVX2 with 256-bit `vpdpbusd` (AVX-VNNI): all of AVX2's kernels but the int8 product.
//!
//! Twelve integer sums, six tokens by 16 outputs, leave four registers for operands; the f32 sums
//! wait on the stack and are touched once per block.

use std::arch::x86_64::*;

use super::{Micro, avx2, by_tokens};
use crate::layout::{BLOCK, COLUMNS, PANEL_QUANTS, Precision};

/// The AVX-VNNI kernels; to be handed out only where [`detected`].
pub(super) static TABLE: Micro = Micro {
    int8: by_tokens!(int8),
    f32: avx2::TABLE.f32,
    quantize_row: avx2::quantize_row,
    quantize_columns: avx2::quantize_columns,
    log_sum_exp: avx2::log_sum_exp,
    scaled_exp: avx2::scaled_exp,
};

/// Floats in a register.
const LANES: usize = 8;

/// Whether this CPU has the features of this file.
pub(super) fn detected() -> bool {
    avx2::detected() && is_x86_feature_detected!("avxvnni")
}

/// # Safety
/// See [`super::Product`].
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
        let mut sums = [[_mm256_setzero_ps(); 2]; N];
        for block in 0..blocks {
            // SAFETY: the caller vouches for `blocks` blocks of both operands.
            unsafe {
                let left = left.add(block * N * Precision::Int8.token_bytes());
                let panel = panel.add(block * Precision::Int8.panel_bytes());
                let scales = left.add(N * BLOCK).cast::<f32>();
                let corrections = scales.add(N).cast::<i32>();
                let products = block_products::<N>(left, corrections, panel.add(4 * start));
                let weight_scales = panel.add(PANEL_QUANTS).cast::<f32>().add(start);
                for half in 0..2 {
                    let weight_scales = _mm256_loadu_ps(weight_scales.add(half * LANES));
                    for t in 0..N {
                        let scale = _mm256_mul_ps(_mm256_set1_ps(*scales.add(t)), weight_scales);
                        let product = _mm256_cvtepi32_ps(products[t][half]);
                        sums[t][half] = _mm256_fmadd_ps(product, scale, sums[t][half]);
                    }
                }
            }
        }
        let columns = (columns - start).min(2 * LANES);
        // SAFETY: the caller vouches for the rows of `y`; the part begins inside them.
        unsafe { avx2::store(&sums, y.add(start), stride, columns, accumulate) }
    }
}

/// `correction + Σ u8 · i8` over one block, for 16 outputs that begin at `weights`.
///
/// # Safety
/// `left` holds the quants of a block, `weights` the same of a panel from the first output on.
#[inline]
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn block_products<const N: usize>(
    left: *const u8,
    corrections: *const i32,
    weights: *const u8,
) -> [[__m256i; 2]; N] {
    // SAFETY: corrections and words lie in the block, by this function's contract.
    unsafe {
        let mut products: [[__m256i; 2]; N] =
            std::array::from_fn(|t| [_mm256_set1_epi32(*corrections.add(t)); 2]);
        for word in 0..BLOCK / 4 {
            let weights = weights.add(word * COLUMNS * 4).cast::<__m256i>();
            let weights = [_mm256_loadu_si256(weights), _mm256_loadu_si256(weights.add(1))];
            for (t, products) in products.iter_mut().enumerate() {
                let quants = _mm256_set1_epi32(*left.cast::<i32>().add(word * N + t));
                products[0] = _mm256_dpbusd_avx_epi32(products[0], weights[0], quants);
                products[1] = _mm256_dpbusd_avx_epi32(products[1], weights[1], quants);
            }
        }
        products
    }
}
