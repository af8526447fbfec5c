//! Causal grouped-query attention over packed sequences, forward and backward, in `f32`.
//!
//! Scores never leave a tile of [`TILE`] queries and as many keys: the forward pass keeps a
//! running maximum and sum per query, the backward pass recomputes the probabilities from the
//! saved log-sum-exp. What is left are small matrix products (`generic::gemm`).
//!
//! The forward pass lays queries along the lanes, the backward pass keys, so that no reduction
//! runs across lanes: every level gives the same bits (a NaN may differ in its payload).

mod backward;
pub(crate) mod band;
mod forward;
mod plan;
mod single;
pub(crate) mod softmax;
mod tile;

pub use single::Attention;

use crate::generic::LANES;
use crate::{Kernels, Scratch};

/// Queries and keys of a tile.
const TILE: usize = 64;

/// The sizes of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// `H`, heads of the queries; a multiple of `n_head_kv`.
    pub n_head: usize,
    /// `Hkv`, heads of the keys and values. Query head `h` reads head `h · Hkv / H`.
    pub n_head_kv: usize,
    /// `D`, elements of a head.
    pub head_dim: usize,
    /// Factor of the scores, usually `1 / √D`.
    pub scale: f32,
    /// How many tokens a query sees, itself included and at least 1; all before it if `None`.
    pub window: Option<usize>,
}

/// The tokens `start..start + len` of a pack: a sequence that sees nothing outside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first token.
    pub start: usize,
    /// Number of tokens.
    pub len: usize,
}

/// What attention reads, forward and backward; row-major.
#[derive(Clone, Copy, Debug)]
pub struct AttentionInput {
    /// `(T, H, D)`
    pub q: *const f32,
    /// `(T, Hkv, D)`
    pub k: *const f32,
    /// `(T, Hkv, D)`
    pub v: *const f32,
}

/// What the forward pass writes.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOutput {
    /// `(T, H, D)`
    pub out: *mut f32,
    /// `(T, H)`, `ln Σ exp(score)` in nats, which the backward pass needs.
    pub lse: *mut f32,
}

/// What the backward pass reads beside the input.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSaved {
    /// `(T, H, D)`, as the forward pass wrote it.
    pub out: *const f32,
    /// `(T, H)`, as the forward pass wrote it.
    pub lse: *const f32,
    /// `(T, H, D)`, the gradient of `out`.
    pub dout: *const f32,
}

/// What the backward pass writes.
#[derive(Clone, Copy, Debug)]
pub struct AttentionGradient {
    /// `(T, H, D)`
    pub dq: *mut f32,
    /// `(T, Hkv, D)`
    pub dk: *mut f32,
    /// `(T, Hkv, D)`
    pub dv: *mut f32,
}

/// One of the threads that compute a result together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This thread, below `n_threads`.
    pub thread: usize,
    /// All of them.
    pub n_threads: usize,
}

impl Share {
    /// Everything on one thread.
    pub const WHOLE: Share = Share { thread: 0, n_threads: 1 };
}

impl AttentionShape {
    /// Query heads that share a head of keys and values.
    fn group(&self) -> usize {
        self.n_head / self.n_head_kv
    }

    /// Floats from one row of a buffer to the next: `D` rounded up.
    fn row(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// Bytes that either pass makes a thread's [`Scratch`] grow to, for sequences of at most
    /// `longest` tokens.
    pub fn scratch_bytes(&self, longest: usize) -> usize {
        4 * backward::scratch_len(self, longest)
    }

    /// The first key of the first tile that the query block at `query` sees.
    fn first_tile(&self, query: usize) -> usize {
        let first = self.window.map_or(0, |window| (query + 1).saturating_sub(window));
        first / TILE * TILE
    }

    /// After the last query of the segment that sees the block of keys at `key`.
    fn last_query(&self, segment: Segment, key: usize) -> usize {
        let last_key = (key + TILE).min(segment.len) - 1;
        self.window.map_or(segment.len, |w| segment.len.min(last_key.saturating_add(w)))
    }

    fn check(&self, share: Share) {
        assert!(
            self.n_head_kv > 0 && self.n_head.is_multiple_of(self.n_head_kv),
            "{} heads cannot share {} heads of keys",
            self.n_head,
            self.n_head_kv
        );
        assert!(self.head_dim > 0, "heads have no elements");
        assert!(self.window != Some(0), "a window of 0 shows nothing");
        let Share { thread, n_threads } = share;
        assert!(thread < n_threads, "thread {thread} of {n_threads}");
    }
}

impl Kernels {
    /// Causal attention inside each segment, this thread's share of it.
    ///
    /// `out[i] = Σ_j p[i, j] v[j]`, `p[i, ·] = softmax_j(scale · q[i] · k[j])`,
    /// `lse[i] = ln Σ_j exp(scale · q[i] · k[j])`, over the keys `j <= i` of the segment, with a
    /// window `w` only those with `i - j < w`.
    ///
    /// Every thread calls this with the same arguments but its own `share` and `scratch`; the
    /// shares are balanced by the visible scores, need no zeroed output, and their number changes
    /// no bit of it. Tokens outside all segments are left alone. Within `1e-5` of `f64`, relative
    /// to the largest `|v|` (`out`) and to `1 + Σ_d |scale · q k|` (`lse`).
    ///
    /// A NaN or infinity reaches all that depends on it by the formula; as `0 · NaN` is NaN, one in
    /// `v` may also reach up to 63 queries before it.
    ///
    /// # Panics
    /// If the heads do not divide, the head dimension or window is 0, or the share is none.
    ///
    /// # Safety
    /// - Every token of the segments lies in all tensors, which are contiguous with the shapes
    ///   that [`AttentionInput`] and [`AttentionOutput`] state; no token is in two segments.
    /// - Nothing writes to the input meanwhile. Nothing but the other shares of the same call
    ///   accesses the output; no two of them have the same `thread`.
    pub unsafe fn attention(
        &self,
        shape: AttentionShape,
        segments: &[Segment],
        input: AttentionInput,
        output: AttentionOutput,
        share: Share,
        scratch: &mut Scratch,
    ) {
        shape.check(share);
        // SAFETY: this function's contract.
        unsafe { forward::run(*self, shape, segments, input, output, share, scratch) };
    }

    /// Gradient of [`Kernels::attention`], this thread's share of it.
    ///
    /// With `δ[i] = dout[i] · out[i]` and `ds[i, j] = scale · p[i, j] (dout[i] · v[j] - δ[i])`:
    /// `dq[i] = Σ_j ds[i, j] k[j]`, `dk[j] = Σ_i ds[i, j] q[i]`, `dv[j] = Σ_i p[i, j] dout[i]`;
    /// the last two sum over the query heads that share a head.
    ///
    /// Threads, zeroing and tokens outside segments as for [`Kernels::attention`]. Probabilities
    /// carry a relative error of about `6e-8 · |lse|`. A NaN may also reach tokens up to 63 before
    /// or after those that depend on it.
    ///
    /// # Panics
    /// As for [`Kernels::attention`].
    ///
    /// # Safety
    /// As for [`Kernels::attention`], with `saved` as further input and `gradient` as the output.
    #[expect(clippy::too_many_arguments, reason = "four groups of tensors, each named")]
    pub unsafe fn attention_backward(
        &self,
        shape: AttentionShape,
        segments: &[Segment],
        input: AttentionInput,
        saved: AttentionSaved,
        gradient: AttentionGradient,
        share: Share,
        scratch: &mut Scratch,
    ) {
        shape.check(share);
        // SAFETY: this function's contract.
        unsafe { backward::run(*self, shape, segments, input, saved, gradient, share, scratch) };
    }
}
