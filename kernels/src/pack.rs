//! Packing activations into the order in which the micro-kernels read them.

use std::ops::Range;

use crate::Kernels;
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
            let slot = token % GROUP;
            let first = token - slot;
            let group_len = shape.group_len(first);
            // SAFETY: row `token` lies inside `x` and its group inside `packed` by this function's
            // contract; a token's bytes in the group are its own.
            unsafe {
                let row = std::slice::from_raw_parts(x.add(token * stride), shape.r);
                let group = packed.add(shape.group_offset(first));
                match shape.precision {
                    Precision::Int8 => {
                        let out = group.add(4 * slot);
                        (self.micro.quantize_activations)(row, out, group_len);
                    }
                    Precision::F32 => {
                        for (r, &value) in row.iter().enumerate() {
                            group.cast::<f32>().add(r * group_len + slot).write(value);
                        }
                    }
                }
            }
        }
    }
}
