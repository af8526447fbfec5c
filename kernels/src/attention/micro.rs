//! The functions of each level: the generic ones compiled with its instructions.

use super::band::Band;
use super::gemm::{Gemm, Vector};
use super::softmax::{Row, Running, Saved};
use super::transpose::Matrix;
use crate::Level;

/// See [`super::gemm::gemm`].
type Product = unsafe fn(&Gemm);

/// See [`super::softmax::forward`].
type Forward = unsafe fn(
    tile: &mut [Row],
    lanes: usize,
    scale: f32,
    band: Option<Band>,
    running: &mut Running,
) -> bool;

/// See [`super::softmax::backward`].
type Backward = unsafe fn(
    scores: &mut [Row],
    dp: &mut [Row],
    lanes: usize,
    scale: f32,
    band: Option<Band>,
    saved: &Saved,
);

/// See [`super::softmax::dot`].
type Dot = unsafe fn(a: &[f32], b: &[f32]) -> f32;

/// See [`super::transpose::transpose`].
type Transpose = unsafe fn(from: Matrix, to: Matrix, size: (usize, usize));

/// The inner loops of one level. Calling any of them demands the level's CPU features.
pub(super) struct Micro {
    pub gemm: Product,
    pub forward: Forward,
    pub backward: Backward,
    pub dot: Dot,
    pub transpose: Transpose,
}

/// The functions of `level`, to be called only where a [`crate::Kernels`] of that level exists.
pub(super) fn table(level: Level) -> &'static Micro {
    match level {
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
            use super::super::{gemm, softmax, transpose};
            use super::*;

            pub(super) static TABLE: Micro = Micro { gemm, forward, backward, dot, transpose };

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
            unsafe fn forward(
                tile: &mut [Row],
                lanes: usize,
                scale: f32,
                band: Option<Band>,
                running: &mut Running,
            ) -> bool {
                match band {
                    None => softmax::forward(tile, lanes, scale, None, running),
                    Some(_) => softmax::forward(tile, lanes, scale, band, running),
                }
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn backward(
                scores: &mut [Row],
                dp: &mut [Row],
                lanes: usize,
                scale: f32,
                band: Option<Band>,
                saved: &Saved,
            ) {
                match band {
                    None => softmax::backward(scores, dp, lanes, scale, None, saved),
                    Some(_) => softmax::backward(scores, dp, lanes, scale, band, saved),
                }
            }

            /// # Safety
            /// The CPU has the level's features.
            $(#[$feature])?
            unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
                softmax::dot(a, b)
            }

            /// # Safety
            /// See [`transpose::transpose`].
            $(#[$feature])?
            unsafe fn transpose(from: Matrix, to: Matrix, size: (usize, usize)) {
                // SAFETY: the caller vouches for the operands, the table for the features.
                unsafe { transpose::transpose(from, to, size, transpose::$block) }
            }
        }
    };
}

level!(plain, [f32; 16], 1, 1, plain);
#[cfg(target_arch = "x86_64")]
level!(avx2, std::arch::x86_64::__m256, 6, 2, avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
level!(avx512, std::arch::x86_64::__m512, 6, 4, avx2, #[target_feature(enable = "avx512f,avx512bw,avx512vl")]);

impl Vector for [f32; 16] {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: readable, by the trait's contract.
        unsafe { from.cast::<Self>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: writable, by the trait's contract.
        unsafe { to.cast::<Self>().write(self) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|i| self[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
}

/// [`Vector`] for a register type from its intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! register {
    ($vector:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident) => {
        impl Vector for std::arch::x86_64::$vector {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // SAFETY: the caller vouches for the CPU.
                unsafe { std::arch::x86_64::$splat(x) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller vouches for the CPU and the memory.
                unsafe { std::arch::x86_64::$load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller vouches for the CPU and the memory.
                unsafe { std::arch::x86_64::$store(to, self) }
            }

            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: the caller vouches for the CPU.
                unsafe { std::arch::x86_64::$fma(self, b, c) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller vouches for the CPU.
                unsafe { std::arch::x86_64::$add(self, other) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
register!(
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps
);
#[cfg(target_arch = "x86_64")]
register!(
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps
);
