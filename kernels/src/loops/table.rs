//! One function per loop and level, which inlines the loop and enables the level's instructions.
//!
//! `each_loop!` lists the loops. From this one list, `declare!` makes the fields of [`Loops`] and
//! `level!` the functions and the table of a level, so a new loop is one entry.

use super::dropout::DropoutPool;
use super::gated::Nonlinearity;
use super::gemm::Gemm;
use super::log_softmax::PartSum;
use super::rope::RopePairs;
use super::tile_softmax::{Row, Running, Saved};
use super::transpose::Matrix;
use super::{dropout, gated, gemm, log_softmax, norm, rope, tile_softmax, transpose};
use crate::level::Level;

/// Hands the list of loops to the macro `$then`, after its own arguments.
///
/// A loop may name what `level!` defines: `Register`, `ROWS`, `VECTORS` and `square`.
macro_rules! each_loop {
    ($then:ident! $arguments:tt) => {
        $then! { $arguments
            fn gemm(product: &Gemm) {
                // SAFETY: the caller vouches for the operands, the table for the features.
                unsafe { gemm::gemm::<Register, ROWS, VECTORS>(product) }
            }
            fn transpose(from: Matrix, to: Matrix, size: (usize, usize)) {
                // SAFETY: the caller vouches for the operands, the table for the features.
                unsafe { transpose::transpose(from, to, size, square) }
            }
            fn tile_softmax(tile: &mut [Row], lanes: usize, scale: f32, running: &mut Running) {
                tile_softmax::forward(tile, lanes, scale, running);
            }
            fn tile_softmax_backward(
                scores: &mut [Row], dp: &mut [Row], lanes: usize, scale: f32, saved: &Saved,
            ) {
                tile_softmax::backward(scores, dp, lanes, scale, saved);
            }
            fn dot(a: &[f32], b: &[f32]) -> f32 { tile_softmax::dot(a, b) }
            fn norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
                norm::forward(x, weight, eps, y);
            }
            fn norm_backward(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]) {
                norm::backward(x, weight, eps, dy, dx);
            }
            fn rope(pairs: RopePairs, turns: [&[f32]; 2], x: &[f32], y: &mut [f32]) {
                rope::rotate(pairs, turns, x, y);
            }
            fn gated(nonlinearity: Nonlinearity, gate: &[f32], up: &[f32], y: &mut [f32]) {
                gated::forward(nonlinearity, gate, up, y);
            }
            fn gated_backward(
                nonlinearity: Nonlinearity, input: [&[f32]; 2], dy: &[f32], dinput: [&mut [f32]; 2],
            ) {
                gated::backward(nonlinearity, input, dy, dinput);
            }
            fn dropout(pool: &DropoutPool, first: usize, x: &mut [f32]) {
                dropout::multiply(pool, first, x);
            }
            fn add_exp(logits: &[f32], part: &mut PartSum) { log_softmax::add_exp(logits, part); }
            fn scaled_exp(row: &mut [f32], shift: f32, weight: f32) {
                log_softmax::scaled_exp(row, shift, weight);
            }
        }
    };
}

/// The type of a table: a function pointer for each loop.
macro_rules! declare {
    (() $(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block)*) => {
        /// The loops of one level.
        ///
        /// Calling one requires the level's CPU features, and what the loop of its name requires.
        pub(crate) struct Loops {
            $(pub $name: unsafe fn($($argument: $type),*) $(-> $out)?,)*
        }
    };
}

each_loop!(declare!());

/// A module with the functions and the table of a level: its register, rows and registers of a
/// register tile, transposition of a square, and the attribute that gives a function its features.
macro_rules! level {
    (
        ($level:ident, $register:ty, $rows:literal, $vectors:literal, $square:ident, $features:meta)
        $(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block)*
    ) => {
        mod $level {
            use super::transpose::$square as square;
            use super::*;

            type Register = $register;
            const ROWS: usize = $rows;
            const VECTORS: usize = $vectors;

            pub(super) static TABLE: Loops = Loops { $($name),* };

            $(
                /// # Safety
                /// The CPU has the level's features; the operands are those that the loop requires.
                #[$features]
                unsafe fn $name($($argument: $type),*) $(-> $out)? $body
            )*
        }
    };
}

each_loop!(level!(plain, [f32; 16], 1, 1, plain, doc = "Every CPU has them."));

#[cfg(target_arch = "aarch64")]
each_loop!(level!(
    neon,
    std::arch::aarch64::float32x4_t,
    6,
    4,
    neon,
    doc = "Every aarch64 CPU has them."
));

#[cfg(target_arch = "x86_64")]
each_loop!(level!(
    avx2,
    std::arch::x86_64::__m256,
    6,
    2,
    avx2,
    target_feature(enable = "avx2,fma")
));

#[cfg(target_arch = "x86_64")]
each_loop!(level!(
    avx512,
    std::arch::x86_64::__m512,
    6,
    4,
    avx2,
    target_feature(enable = "avx512f,avx512bw,avx512vl")
));

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
