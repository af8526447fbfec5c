//! How near is near enough, with the reason for each.

/// Gradient against a fourth-order finite difference in f64, relative to the larger of the value
/// and [`SMALL`] times its tensor's largest: the stencil's own error is near 1e-11 of the loss.
pub const FINITE_DIFFERENCE: f64 = 1e-6;

/// Elements below this share of their tensor's largest are judged by it: at 1e-3 of a loss near 1,
/// rounding alone would show in a purely relative comparison.
pub const SMALL: f64 = 1e-3;

/// Automatic against analytic weights, relative: candle's `ln(1 − e^x)` cancels eight digits at
/// [`cutq_core::log_space::GAP`], of sixteen.
pub const AUTODIFF: f64 = 1e-6;

/// The same sum in another order, relative, in f64.
pub const REORDERED: f64 = 1e-12;

/// Log-probability against PyTorch in f32, nats: the order of sums in thirty layers.
pub const F32_LOG_PROB: f64 = 2e-3;

/// The same of a device against the CPU's kernels: drivers may take the operands of products as F16
/// or TF32, which both round by 2⁻¹¹, and logits of made-up models go up to 10, where a family scales
/// them.
pub const DEVICE_LOG_PROB: f64 = 5e-3;

/// The same of CUDA in Granite, which scales them most: 0.0065 on an H100, whatever its products round
/// to. Most likely it is the rotation of position 700, with the fast sines of ggml's CUDA backend.
pub const CUDA_GRANITE_LOG_PROB: f64 = 1e-2;

/// The same in tiny models: the order of sums in four layers.
pub const F32_TINY_LOG_PROB: f64 = 1e-4;

/// An example's loss against PyTorch in f32, relative.
pub const F32_LOSS: f64 = 1e-3;

/// Cosine of a LoRA tensor's gradient with PyTorch's, in f32.
pub const F32_COSINE: f64 = 0.9999;

/// Norm of a LoRA tensor's gradient against PyTorch's in f32, relative: a token at the edge of U
/// may fall on either side, no other difference is this large.
pub const F32_NORM: f64 = 1e-2;

/// Batch loss in each of ten AdamW steps against PyTorch in f32, relative: AdamW's first steps
/// turn tiny gradients of either sign into full steps.
pub const F32_ADAMW: f64 = 1e-2;

/// How far int8 may be from PyTorch's f32.
#[derive(Debug, Clone, Copy)]
pub struct Int8 {
    /// Mean |Δ log-probability|, nats.
    pub log_prob: f64,
    /// Cosine of the gradient of a LoRA tensor of the feed-forward network (the default
    /// projections).
    pub cosine: f64,
    /// The same for the projections of attention: their gradients pass through the softmax, whose
    /// scores magnify rounding, and are up to ten times smaller than those of the feed-forward
    /// network.
    pub attention_cosine: f64,
    /// Batch loss in each of ten AdamW steps, relative.
    pub adamw: f64,
}

/// The kernels' int8, whose rounding is the same on every CPU.
pub const INT8: Int8 = Int8 { log_prob: 0.06, cosine: 0.99, attention_cosine: 0.97, adamw: 0.05 };

/// What rounding may cost in another engine than llama.cpp, as a multiple of what it costs in
/// llama.cpp: the same noise, drawn again. Over the fixtures' 190 tokens the mean of |Δ| has a
/// standard error of 0.76/√190 = 5 %, the ratio of two such means one of 8 %; this is three of
/// them.
pub const SAME_NOISE: f64 = 1.25;

impl Int8 {
    /// The limits where llama.cpp, which rounds with the same code on the same machine, has a mean
    /// |Δ log p| of `noise`. ggml's int8 products differ by CPU, in the types that activations are
    /// rounded to and in the order of sums, and every later rounding depends on those before.
    ///
    /// A small error of the activations moves log-probabilities and losses in proportion, and a
    /// gradient by an angle in proportion; so 1 − cos grows with its square.
    pub fn at_noise(self, noise: f64) -> Self {
        let log_prob = self.log_prob.max(SAME_NOISE * noise);
        let more = log_prob / self.log_prob;
        let cosine = |limit: f64| 1.0 - (1.0 - limit) * more.powi(2);
        Self {
            log_prob,
            cosine: cosine(self.cosine),
            attention_cosine: cosine(self.attention_cosine),
            adamw: more * self.adamw,
        }
    }
}

/// Mean loss of a pass over the data at int8 against f32, relative, in a hundred steps of training.
pub const INT8_CURVE: f64 = 0.02;

/// Mean |Δ log-probability| between cutq in f32 and llama.cpp, nats: llama.cpp rounds activations
/// to int8 and its K and V cache to f16.
pub const LLAMA_CPP_LOG_PROB: f64 = 0.05;

/// The same, as a multiple of the difference that llama.cpp's rounding makes without any adapter:
/// what the adapter itself may add to it.
pub const LLAMA_CPP_FLOOR: f64 = 1.25;

/// Log-probabilities of sampled tokens against a pass over the whole sequence, in nats: the same
/// products, sums of other lengths in attention.
pub const SAMPLED_LOG_PROB: f64 = 2e-4;

/// The loss's slope along its gradient against the gradient's square, relative, in f32 on a tiny
/// model: the loss's curvature and its rounding, over a change of a hundredth.
pub const F32_SLOPE: f64 = 2e-3;
