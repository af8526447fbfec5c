//! The innermost loops: one table of functions per [`Level`].
//!
//! The functions of a table share their contracts, which stand at the type aliases below. Calling
//! one demands the CPU features of its level; [`table`] hands a table out only where they exist.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod plain;

use crate::{GROUP, Level};

/// Product of a group of tokens and a panel over some blocks:
/// `y[t, c] (+)= Σ_blocks Σ_r left[t, r] panel[r, c]`.
///
/// Arguments: `left` and `panel` at their first block, the number of blocks, `y` at its first
/// output, the distance between rows of `y` in floats, the number of outputs to store (1 to 32),
/// and whether to add to `y` or overwrite it. The sum begins at zero and is added to `y` last.
///
/// # Safety
/// `left` and `panel` hold that many blocks in the order of [`crate::layout`], `left` aligned to
/// 4 bytes and `panel` to 64; rows of `y` have room for the outputs, and nothing else accesses
/// them meanwhile.
pub(crate) type Product = unsafe fn(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
);

/// Quantizes `x` in blocks of 32 along the row, the last one padded with zeros.
///
/// # Safety
/// `out` with the strides of `place` has room for every block of the row, aligned to 4 bytes, and
/// nothing else accesses those bytes meanwhile.
pub(crate) type QuantizeRow = unsafe fn(x: &[f32], out: *mut u8, place: RowPlace);

/// Quantizes 32 columns of a tile of 32 rows into one block of a panel.
///
/// # Safety
/// `tile` has 32 rows of 32 floats, `stride` floats apart; `out` has room for a block of a panel,
/// is aligned to 64 bytes, and nothing else accesses it meanwhile.
pub(crate) type QuantizeColumns = unsafe fn(tile: *const f32, stride: usize, out: *mut u8);

/// Where [`QuantizeRow`] puts its results, all in bytes.
#[derive(Clone, Copy)]
pub(crate) struct RowPlace {
    /// From one block to the next.
    pub block_stride: usize,
    /// From one word of four quants to the next.
    pub word_stride: usize,
    /// From the first quant of a block to its scale.
    pub scale: usize,
    /// From the first quant of a block to its correction, where there is one.
    pub correction: Option<usize>,
    /// `0x80` to store unsigned quants with a bias of 128, else 0.
    pub flip: u8,
}

/// `ln Σ exp(row)` in f32 lanes and an f64 total.
pub(crate) type LogSumExp = unsafe fn(row: &[f32]) -> f64;

/// `row[v] = weight · exp(row[v] - shift)`.
pub(crate) type ScaledExp = unsafe fn(row: &mut [f32], shift: f32, weight: f32);

/// The kernels of one level.
pub(crate) struct Micro {
    /// Int8 products, by the number of tokens less one.
    pub int8: [Product; GROUP],
    /// F32 products, by the number of tokens less one.
    pub f32: [Product; GROUP],
    /// Row-wise int8 quantization: activations, and weights of the forward product.
    pub quantize_row: QuantizeRow,
    /// Column-wise int8 quantization: weights of the transposed product.
    pub quantize_columns: QuantizeColumns,
    /// See [`LogSumExp`].
    pub log_sum_exp: LogSumExp,
    /// See [`ScaledExp`].
    pub scaled_exp: ScaledExp,
}

/// The kernels of `level`, if this CPU has its features.
pub(crate) fn table(level: Level) -> Option<&'static Micro> {
    match level {
        Level::Plain => Some(&plain::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::detected().then_some(&avx2::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => avx_vnni::detected().then_some(&avx_vnni::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512::detected().then_some(&avx512::TABLE),
        #[cfg(not(target_arch = "x86_64"))]
        _ => None,
    }
}

/// A product function for every number of tokens in a group.
macro_rules! by_tokens {
    ($function:ident) => {
        [
            $function::<1>,
            $function::<2>,
            $function::<3>,
            $function::<4>,
            $function::<5>,
            $function::<6>,
        ]
    };
}
use by_tokens;
