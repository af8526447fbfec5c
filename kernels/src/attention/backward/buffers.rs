//! What a thread works with in the backward pass: tensors and buffers.

use crate::attention::shape::AttentionShape;
use crate::attention::tensors::{AttentionGradient, AttentionSaved};
use crate::attention::tile::Buffers;
use crate::kernels::Kernels;
use crate::loops::tile_softmax::TILE;
use crate::loops::{LANES, Loops};
use crate::scratch::Scratch;

/// The tensors of a call and this thread's buffers.
pub(super) struct Backward {
    pub loops: &'static Loops,
    pub shape: AttentionShape,
    pub saved: AttentionSaved,
    pub gradient: AttentionGradient,
    pub keys: Keys,
    pub queries: Queries,
    /// `(64, 64)`, scores and probabilities; rows are queries.
    pub scores: *mut f32,
    /// `(64, 64)`, `dout · v` and the gradient of the scores.
    pub dscores: *mut f32,
    /// `(H / Hkv, segment)`, `dout · out` of the query heads that share a head of keys.
    pub delta: *mut f32,
}

/// Buffers of a tile of keys, those of the next tiles behind; rows of `D` are rounded up.
pub(super) struct Keys {
    /// `(64, D)`, for heads that are no whole vectors.
    pub k: *mut f32,
    /// `(D, 64)`
    pub k_transposed: *mut f32,
    /// `(D, 64)`
    pub v_transposed: *mut f32,
    /// `(64, D)`, summed over queries.
    pub dk: *mut f32,
    /// `(64, D)`, summed over queries.
    pub dv: *mut f32,
}

/// Buffers of a tile of queries, `(64, D)`, for heads that are no whole vectors.
pub(super) struct Queries {
    pub q: *mut f32,
    pub dout: *mut f32,
    pub dq: *mut f32,
}

impl AttentionShape {
    /// Bytes that either pass makes a thread's [`Scratch`] grow to, for sequences of at most
    /// `longest` tokens.
    pub fn scratch_bytes(&self, longest: usize) -> usize {
        4 * scratch_len(self, longest)
    }
}

impl Backward {
    /// Tensors of `shape` and buffers for sequences of at most `longest` tokens.
    pub fn new(
        kernels: &Kernels,
        shape: AttentionShape,
        longest: usize,
        saved: AttentionSaved,
        gradient: AttentionGradient,
        scratch: &mut Scratch,
    ) -> Backward {
        let tile = shape.row() * TILE;
        let slots = loaded_tiles(&shape) * tile;
        let mut buffers = Buffers::new(scratch, scratch_len(&shape, longest));
        Backward {
            loops: kernels.loops,
            shape,
            saved,
            gradient,
            keys: Keys {
                k: buffers.take(tile),
                k_transposed: buffers.take(slots),
                v_transposed: buffers.take(slots),
                dk: buffers.take(slots),
                dv: buffers.take(slots),
            },
            queries: Queries {
                q: buffers.take(tile),
                dout: buffers.take(tile),
                dq: buffers.take(tile),
            },
            scores: buffers.take(TILE * TILE),
            dscores: buffers.take(TILE * TILE),
            delta: buffers.take(deltas_len(&shape, longest)),
        }
    }

    /// Floats of a tile of queries or keys.
    pub fn tile_len(&self) -> usize {
        self.shape.row() * TILE
    }
}

/// Floats of scratch for sequences of at most `longest` tokens: more than the forward pass takes.
fn scratch_len(shape: &AttentionShape, longest: usize) -> usize {
    let tiles = 4 * loaded_tiles(shape) + 4;
    tiles * shape.row() * TILE + 2 * TILE * TILE + deltas_len(shape, longest)
}

/// Tiles of keys that a tile of queries meets while it is in the cache: as many as stay in a
/// second-level cache themselves.
pub(super) fn loaded_tiles(shape: &AttentionShape) -> usize {
    (256 / shape.row()).clamp(1, 4)
}

fn deltas_len(shape: &AttentionShape, longest: usize) -> usize {
    (shape.group() * longest).next_multiple_of(LANES)
}
