//! Packing activations into the order in which the micro-kernels read them.

use std::ops::Range;

use crate::kernels::Kernels;
use crate::layout::{GROUP, PackedShape, Precision};

impl Kernels {
    /// Packs rows `tokens` of `x` into their places in `packed`, quantizing them in int8.
    ///
    /// | argument | shape    | meaning                                          |
    /// |----------|----------|--------------------------------------------------|
    /// | `x`      | `(T, R)` | row-major f32, rows `stride` floats apart        |
    /// | `tokens` |          | the rows to pack, a part of `0..T`               |
    /// | `packed` |          | [`PackedShape::bytes`] bytes for all `T` tokens  |
    ///
    /// A packed token's bytes depend on its row alone: any split of the tokens among threads gives
    /// the same buffer. In int8 an infinity or NaN makes every product with its block NaN.
    ///
    /// # Safety
    /// - `x` points to `T` rows of `R` initialized floats, `stride` apart.
    /// - `packed` points to `shape.bytes()` writable bytes and is aligned to 4.
    /// - While this runs nothing else accesses the packed bytes of these tokens (other threads may
    ///   pack other tokens), and nothing writes to the rows.
    ///
    /// # Panics
    /// If `tokens` exceeds `shape.n_tokens`.
    pub unsafe fn pack(
        &self,
        shape: PackedShape,
        x: *const f32,
        stride: usize,
        tokens: Range<usize>,
        packed: *mut u8,
    ) {
        assert!(tokens.end <= shape.n_tokens, "tokens {tokens:?} of {}", shape.n_tokens);
        for token in tokens {
            // SAFETY: row `token` lies inside `x` by this function's contract; the token's place in
            // `packed` is this call's alone.
            unsafe {
                let row = std::slice::from_raw_parts(x.add(token * stride), shape.r);
                self.pack_part(shape, row, token, 0, packed);
            }
        }
    }

    /// Packs elements `first..` of row `token`; `first` is a multiple of the block.
    ///
    /// # Safety
    /// `packed` is as for [`Kernels::pack`]; the row has room for the elements, and nothing else
    /// accesses their places during the call. A part that ends within a block is the row's last.
    #[inline]
    pub(crate) unsafe fn pack_part(
        &self,
        shape: PackedShape,
        part: &[f32],
        token: usize,
        first: usize,
        packed: *mut u8,
    ) {
        if part.is_empty() {
            // Rows of nothing have no place, not even an address in an empty buffer.
            return;
        }
        let slot = token % GROUP;
        let group = token - slot;
        let n = shape.group_len(group);
        let block = first / shape.precision.block();
        let offset = shape.group_offset(group) + block * n * shape.precision.token_bytes();
        // SAFETY: the group lies inside `packed`; a token's bytes in it are its own.
        unsafe {
            let out = packed.add(offset + 4 * slot);
            match shape.precision {
                Precision::Int8 => (self.micro.quantize_activations)(part, out, n),
                Precision::F32 => {
                    for (r, &value) in part.iter().enumerate() {
                        out.cast::<f32>().add(r * n).write(value);
                    }
                }
            }
        }
    }
}
