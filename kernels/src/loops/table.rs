//! One function per loop and level, which inlines the loop and enables the level's instructions.

use super::dropout::Dropout;
use super::gated::Activation;
use super::gemm::Gemm;
use super::log_softmax::PartSum;
use super::tile_softmax::{Row, Running, Saved};
use super::transpose::Matrix;
use super::{dropout, gated, gemm, log_softmax, norm, tile_softmax, transpose};
use crate::level::Level;

/// See [`gemm::gemm`].
type Product = unsafe fn(&Gemm);

/// See [`tile_softmax::forward`].
type Forward = unsafe fn(tile: &mut [Row], lanes: usize, scale: f32, running: &mut Running);

/// See [`tile_softmax::backward`].
type Backward =
    unsafe fn(scores: &mut [Row], dp: &mut [Row], lanes: usize, scale: f32, saved: &Saved);

/// See [`tile_softmax::dot`].
type Dot = unsafe fn(a: &[f32], b: &[f32]) -> f32;

/// See [`transpose::transpose`].
type Transpose = unsafe fn(from: Matrix, to: Matrix, size: (usize, usize));

/// See [`norm::forward`].
type Norm = unsafe fn(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]);

/// See [`norm::backward`].
type NormBackward = unsafe fn(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]);

/// See [`gated::forward`].
type Gated = unsafe fn(activation: Activation, gate: &[f32], up: &[f32], y: &mut [f32]);

/// See [`gated::backward`].
type GatedBackward =
    unsafe fn(activation: Activation, input: [&[f32]; 2], dy: &[f32], gradient: [&mut [f32]; 2]);

/// See [`dropout::multiply`].
type Dropped = unsafe fn(dropout: &Dropout, first: usize, x: &mut [f32]);

/// See [`log_softmax::add_exp`].
type AddExp = unsafe fn(logits: &[f32], part: &mut PartSum);

/// See [`log_softmax::scaled_exp`].
type ScaledExp = unsafe fn(row: &mut [f32], shift: f32, weight: f32);

/// The inner loops of one level. Calling any of them demands the level's CPU features.
pub(crate) struct Loops {
    pub gemm: Product,
    pub forward: Forward,
    pub backward: Backward,
    pub dot: Dot,
    pub transpose: Transpose,
    pub norm: Norm,
    pub norm_backward: NormBackward,
    pub gated: Gated,
    pub gated_backward: GatedBackward,
    pub dropout: Dropped,
    pub add_exp: AddExp,
    pub scaled_exp: ScaledExp,
}

/// The functions of `level`, to be called only where a [`crate::Kernels`] of that level exists.
pub(crate) fn table(level: Level) -> &'static Loops {
    match level {
        #[cfg(target_arch = "aarch64")]
        Level::Neon => &neon::TABLE,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => &avx512::TABLE,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::AvxVnni => &avx2::TABLE,
        _ => &plain::TABLE,
    }
}

/// A module with the table of a level: its vector, rows and vectors of a register block, features.
macro_rules! level {
    ($name:ident, $vector:ty, $rows:literal, $vectors:literal, $block:ident $(, #[$feature:meta])?) => {
        mod $name {
            use super::*;

            pub(super) static TABLE: Loops = Loops {
                gemm,
                forward,
                backward,
                dot,
                transpose,
                norm,
                norm_backward,
                gated,
                gated_backward,
                dropout,
                add_exp,
                scaled_exp,
            };

            /// # Safety
            /// See [`gemm::gemm`].
            $(#[$feature])?
            unsafe fn gemm(gemm: &Gemm) {
                // SAFETY: the caller vouches for the operands, the table for the features.
                unsafe { gemm::gemm::<$vector, $rows, $vectors>(gemm) }
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn forward(tile: &mut [Row], lanes: usize, scale: f32, running: &mut Running) {
                tile_softmax::forward(tile, lanes, scale, running);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn backward(
                scores: &mut [Row],
                dp: &mut [Row],
                lanes: usize,
                scale: f32,
                saved: &Saved,
            ) {
                tile_softmax::backward(scores, dp, lanes, scale, saved);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
                tile_softmax::dot(a, b)
            }

            /// # Safety
            /// See [`transpose::transpose`].
            $(#[$feature])?
            unsafe fn transpose(from: Matrix, to: Matrix, size: (usize, usize)) {
                // SAFETY: the caller vouches for the operands, the table for the features.
                unsafe { transpose::transpose(from, to, size, transpose::$block) }
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
                norm::forward(x, weight, eps, y);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn norm_backward(
                x: &[f32],
                weight: &[f32],
                eps: f32,
                dy: &[f32],
                dx: &mut [f32],
            ) {
                norm::backward(x, weight, eps, dy, dx);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn gated(activation: Activation, gate: &[f32], up: &[f32], y: &mut [f32]) {
                gated::forward(activation, gate, up, y);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn gated_backward(
                activation: Activation,
                input: [&[f32]; 2],
                dy: &[f32],
                gradient: [&mut [f32]; 2],
            ) {
                gated::backward(activation, input, dy, gradient);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn dropout(dropout: &Dropout, first: usize, x: &mut [f32]) {
                dropout::multiply(dropout, first, x);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn add_exp(logits: &[f32], part: &mut PartSum) {
                log_softmax::add_exp(logits, part);
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn scaled_exp(row: &mut [f32], shift: f32, weight: f32) {
                log_softmax::scaled_exp(row, shift, weight);
            }
        }
    };
}

level!(plain, [f32; 16], 1, 1, plain);
#[cfg(target_arch = "aarch64")]
level!(neon, std::arch::aarch64::float32x4_t, 6, 4, neon);
#[cfg(target_arch = "x86_64")]
level!(avx2, std::arch::x86_64::__m256, 6, 2, avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
level!(avx512, std::arch::x86_64::__m512, 6, 4, avx2, #[target_feature(enable = "avx512f,avx512bw,avx512vl")]);
