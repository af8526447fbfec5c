//! What the functions of every level take and do.

use crate::layout::GROUP;

/// Product of a group of tokens and a panel over some blocks:
/// `y[t, c] (+)= Σ_blocks Σ_r left[t, r] panel[r, c]`; in int8 each block adds
/// `fma(sum, offset, ·)` and then `fma(Σ q u, scale_left · scale_panel, ·)`.
///
/// Arguments: `left` and `panel` at their first block, the number of blocks, `y` at its first
/// output, the distance between rows of `y` in floats, the number of outputs to store (1 to 32),
/// and whether to add to `y` or overwrite it. The sum begins at zero and is added to `y` last.
///
/// # Safety
/// `left` and `panel` hold that many blocks in the order of [`crate::layout`], `left` aligned to
/// 4 bytes and `panel` to 64; rows of `y` have room for the outputs, and nothing else accesses
/// them during the call.
pub(crate) type GroupProduct = unsafe fn(
    left: *const u8,
    panel: *const u8,
    blocks: usize,
    y: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
);

/// Bits that hold every quant of some blocks of a panel, at most 8.
///
/// # Safety
/// `panel` holds `blocks` int8 blocks.
pub(crate) type Bits = unsafe fn(panel: *const u8, blocks: usize) -> u32;

/// Int8 products of quants of fewer than 8 bits, where a level multiplies those faster.
pub(crate) struct Narrow {
    pub bits: Bits,
    /// The most bits, and the products by the number of tokens less one; from few bits to many.
    pub products: [(u32, [GroupProduct; GROUP]); 3],
}

/// Quantizes a token's row in blocks of 32 into a group of `n` tokens.
///
/// `out` is the token's first word in the group: quants, scale and sum of the next token all lie
/// one word further on, so the place in the group is only an offset.
///
/// # Safety
/// `out` lies in a group with room for every block of the row, aligned to 4 bytes, and nothing
/// else accesses the token's bytes during the call.
pub(crate) type QuantizeActivations = unsafe fn(x: &[f32], out: *mut u8, n: usize);

/// Quantizes a row of weights in blocks of 32 into a column of a panel.
///
/// `out` is the column's first word; its quants, scales and offsets lie one word apart from the
/// next column's.
///
/// # Safety
/// `out` lies in a panel with room for every block of the row, aligned to 4 bytes, and nothing
/// else accesses the column's bytes during the call.
pub(crate) type QuantizeWeightRow = unsafe fn(x: &[f32], out: *mut u8);

/// Quantizes 32 columns of a tile of 32 rows of weights into one block of a panel.
///
/// # Safety
/// `tile` has 32 rows of 32 floats, `stride` floats apart; `out` has room for a block of a panel,
/// is aligned to 64 bytes, and nothing else accesses it during the call.
pub(crate) type QuantizeWeightColumns = unsafe fn(tile: *const f32, stride: usize, out: *mut u8);

/// The kernels of one level.
pub(crate) struct Micro {
    /// Int8 products, by the number of tokens less one.
    pub int8: [GroupProduct; GROUP],
    /// Those for some panels only.
    pub narrow: Option<Narrow>,
    /// F32 products, by the number of tokens less one.
    pub f32: [GroupProduct; GROUP],
    /// Symmetric along rows.
    pub quantize_activations: QuantizeActivations,
    /// Affine along rows: weights of the forward product.
    pub quantize_weight_row: QuantizeWeightRow,
    /// Symmetric along columns: weights of the transposed product.
    pub quantize_weight_columns: QuantizeWeightColumns,
}

impl Micro {
    /// The fastest int8 products for a panel, by the number of tokens less one.
    ///
    /// # Safety
    /// See [`Bits`]; the CPU has the features of the level.
    pub unsafe fn int8_of(&self, panel: *const u8, blocks: usize) -> &[GroupProduct; GROUP] {
        let Some(narrow) = &self.narrow else { return &self.int8 };
        // SAFETY: this function's contract.
        let bits = unsafe { (narrow.bits)(panel, blocks) };
        let fits = narrow.products.iter().find(|(most, _)| bits <= *most);
        fits.map_or(&self.int8, |(_, products)| products)
    }
}

/// A product function for every number of tokens in a group, with more parameters if there are.
macro_rules! by_tokens {
    ($function:ident $(, $more:literal)?) => {
        [
            $function::<1 $(, $more)?>,
            $function::<2 $(, $more)?>,
            $function::<3 $(, $more)?>,
            $function::<4 $(, $more)?>,
            $function::<5 $(, $more)?>,
            $function::<6 $(, $more)?>,
        ]
    };
}
pub(super) use by_tokens;
