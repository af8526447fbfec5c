//! Where each number lies in packed activations and in weight panels.
//!
//! The axis of the sum, of length `R`, is cut into blocks: 32 elements in int8, one in f32.
//! Everything a micro-kernel reads for one block lies together, so each operand is one stream.
//!
//! Activations, a group of `n <= 6` tokens (only the last group is shorter), per block:
//!
//! | precision | bytes of one block                                                      | size  |
//! |-----------|-------------------------------------------------------------------------|-------|
//! | int8      | `[8][n][4]` i8 quants · `[n]` f32 scales · `[n]` f32 sums                | `40n` |
//! | f32       | `[n]` f32                                                               | `4n`  |
//!
//! Weights, a panel of 32 outputs, per block:
//!
//! | precision | bytes of one block                                                      | size  |
//! |-----------|-------------------------------------------------------------------------|-------|
//! | int8      | `[8][32][4]` u8 quants · `[32]` f32 scales · `[32]` f32 offsets          | 1280  |
//! | f32       | `[32]` f32                                                              | 128   |
//!
//! Four neighbours along `R` share a 32-bit word because `vpdpbusd` multiplies four u8 by four i8
//! and adds them into one i32. The weights are the unsigned operand. With activations `s_a · q`
//! and weights `o + s_w · u` the product of two blocks is
//!
//! `(s_a Σ q) · o + (s_a s_w) · Σ q u`,
//!
//! so the sum `s_a Σ q` is stored with the activations, and both terms are added in this order by
//! fused multiply-adds. Quants are those of [`Precision::Int8`].
//!
//! Interleaving the tokens of a group (instead of one row per token) keeps the inner loop off the
//! cache conflicts of six streams that are a power of two apart.

/// Elements along the axis of the sum that share a scale in [`Precision::Int8`].
pub const BLOCK: usize = 32;

/// Outputs in one panel of weights.
pub const COLUMNS: usize = 32;

/// Tokens that one micro-kernel call handles at most.
///
/// Six tokens by 32 outputs are 12 `i32` and 12 `f32` accumulators of 16 lanes, which leaves
/// enough of the 32 registers for the operands.
pub const GROUP: usize = 6;

/// Columns of `W` that [`Kernels::product_transposed`](crate::Kernels::product_transposed)
/// dequantizes at a time: a multiple of every block length in use (32, 64, 256).
pub const TILE_COLUMNS: usize = 256;

/// Where one int8 block of a panel has its scales, in bytes: after the quants.
pub(crate) const PANEL_SCALES: usize = BLOCK * COLUMNS;

/// Where it has its offsets, in bytes: after the scales, aligned to 64 like every part of it.
pub(crate) const PANEL_OFFSETS: usize = PANEL_SCALES + 4 * COLUMNS;

/// Arithmetic of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Both operands rounded to 8 bits in blocks of 32, columns of weights to 7; exact `i32` block
    /// sums.
    ///
    /// | operand                         | value       | error at most     |
    /// |---------------------------------|-------------|-------------------|
    /// | activations                     | `s·q`       | `amax / 254`      |
    /// | weights, [`Kernels::product`]   | `o + s·u`   | `(max - min)/510` |
    /// | weights, [transposed]           | `s·(u-64)`  | `amax / 126`      |
    ///
    /// with `|q| <= 127`, `0 <= u <= 255`, transposed `1 <= u <= 127`. Weights that are stored in
    /// blocks of 32 with a scale and an offset ([`Weights::quants`]) are exact in
    /// [`Kernels::product`]: `u`, `s` and `o` are their own. A block whose sum `s·Σq` or range
    /// `max - min` exceeds `f32` makes its products non-finite; magnitudes up to `2^122` are safe.
    ///
    /// [`Kernels::product`]: crate::Kernels::product
    /// [transposed]: crate::Kernels::product_transposed
    /// [`Weights::quants`]: crate::Weights::quants
    Int8,
    /// Both operands as they are; `f32` fused multiply-adds.
    F32,
}

impl Precision {
    /// Elements along `R` in one block.
    pub(crate) const fn block(self) -> usize {
        match self {
            Precision::Int8 => BLOCK,
            Precision::F32 => 1,
        }
    }

    /// Bytes per token of one block of packed activations.
    pub(crate) const fn token_bytes(self) -> usize {
        match self {
            Precision::Int8 => BLOCK + 8,
            Precision::F32 => 4,
        }
    }

    /// Bytes of one block of a panel.
    pub(crate) const fn panel_bytes(self) -> usize {
        match self {
            Precision::Int8 => PANEL_OFFSETS + 4 * COLUMNS,
            Precision::F32 => 4 * COLUMNS,
        }
    }

    /// Blocks summed before the sum is added to the output: 1024 elements in int8, 256 in f32.
    ///
    /// A panel of this depth (32 to 40 KiB) stays in or near the first-level cache, and summing in
    /// parts keeps long f32 sums accurate. The depth is part of the result's definition: changing
    /// it changes bits.
    pub(crate) const fn depth(self) -> usize {
        match self {
            Precision::Int8 => 32,
            Precision::F32 => 256,
        }
    }
}

/// Shape of packed activations: `n_tokens` rows of `r` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedShape {
    /// Arithmetic that the packing is for.
    pub precision: Precision,
    /// Rows, `T`.
    pub n_tokens: usize,
    /// Elements along the axis of the sum, `R`.
    pub r: usize,
}

impl PackedShape {
    /// Bytes of the packed buffer, which must begin at a multiple of 4.
    ///
    /// `T · ceil(R / 32) · 40` in int8, `T · R · 4` in f32.
    pub const fn bytes(self) -> usize {
        self.n_tokens * self.blocks() * self.precision.token_bytes()
    }

    pub(crate) const fn blocks(self) -> usize {
        self.r.div_ceil(self.precision.block())
    }

    /// First byte of the group that begins with `token`, a multiple of [`GROUP`].
    pub(crate) const fn group_offset(self, token: usize) -> usize {
        token * self.blocks() * self.precision.token_bytes()
    }

    /// Tokens in the group that begins with `token`.
    pub(crate) const fn group_len(self, token: usize) -> usize {
        let left = self.n_tokens - token;
        if left < GROUP { left } else { GROUP }
    }
}

/// Bytes that [`Kernels::pack`](crate::Kernels::pack) fills for `n_tokens` rows of `r` elements.
pub const fn packed_bytes(precision: Precision, n_tokens: usize, r: usize) -> usize {
    PackedShape { precision, n_tokens, r }.bytes()
}
