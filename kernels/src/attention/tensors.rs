//! The tensors that attention reads and writes, in memory of the caller.

/// What attention reads; row-major.
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

/// What the backward pass reads.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSaved {
    /// As the forward pass read it.
    pub input: AttentionInput,
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
