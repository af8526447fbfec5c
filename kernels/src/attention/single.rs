//! Attention on tensors that own their memory: the safe way, on one thread.

use super::schedule::AttentionSchedule;
use super::shape::{AttentionShape, Segment};
use super::tensors::{AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved};
use crate::kernels::Kernels;
use crate::scratch::Scratch;

/// Attention of one pack, run forward once.
///
/// Allocates its tensors and runs on the calling thread; a training step uses the raw functions of
/// [`Kernels`] instead, with memory and threads of its own.
///
/// ```
/// use cutq_kernels::{Attention, AttentionShape, Kernels, Segment};
///
/// let shape =
///     AttentionShape { n_head: 1, n_head_kv: 1, head_dim: 1, scale: 1.0, window: None };
/// let segments = [Segment { start: 0, len: 2 }];
/// let (q, k, v) = ([1.0, 2.0], [0.0, 0.0], [3.0, 5.0]);
/// let attention = Attention::forward(Kernels::detect()?, shape, &segments, [&q, &k, &v]);
/// // The first token sees itself, the second both; equal scores have equal weights.
/// assert_eq!(attention.out, [3.0, 4.0]);
/// let [_, _, dv] = attention.backward(&[1.0, 1.0]);
/// assert!((dv[0] - 1.5).abs() < 1e-6 && (dv[1] - 0.5).abs() < 1e-6);
/// # Ok::<(), cutq_kernels::SimdError>(())
/// ```
pub struct Attention<'a> {
    kernels: Kernels,
    schedule: AttentionSchedule,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// `(T, H, D)`, zero outside the segments.
    pub out: Vec<f32>,
    /// `(T, H)`, zero outside the segments.
    pub lse: Vec<f32>,
}

impl<'a> Attention<'a> {
    /// [`Kernels::attention`] of `q` `(T, H, D)` and `k`, `v` `(T, Hkv, D)`.
    ///
    /// # Panics
    /// As [`AttentionSchedule::new`]; if the tensors do not hold the same number of tokens, and if
    /// segments overlap, go backwards or leave the tensors.
    pub fn forward(
        kernels: Kernels,
        shape: AttentionShape,
        segments: &[Segment],
        [q, k, v]: [&'a [f32]; 3],
    ) -> Attention<'a> {
        let schedule = AttentionSchedule::new(shape, segments, 1);
        let tokens = q.len() / (shape.n_head * shape.head_dim);
        assert_eq!(q.len(), tokens * shape.n_head * shape.head_dim, "q of {tokens} tokens");
        for (name, tensor) in [("k", k), ("v", v)] {
            let expected = tokens * shape.n_head_kv * shape.head_dim;
            assert_eq!(tensor.len(), expected, "{name} of {tokens} tokens");
        }
        segments.iter().fold(0, |end, &Segment { start, len }| {
            assert!(end <= start && len <= tokens && start <= tokens - len, "tokens {start}+{len}");
            start + len
        });
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; tokens * shape.n_head]);
        let output = AttentionOutput { out: out.as_mut_ptr(), lse: lse.as_mut_ptr() };
        let input = AttentionInput { q: q.as_ptr(), k: k.as_ptr(), v: v.as_ptr() };
        let scratch = &mut Scratch::new();
        // SAFETY: all lengths and the segments were checked, the output is not shared.
        unsafe { kernels.attention(&schedule, schedule.forward(), input, output, scratch) };
        Attention { kernels, schedule, q, k, v, out, lse }
    }

    /// [`Kernels::attention_backward`]: `[dq, dk, dv]`, zero outside the segments.
    ///
    /// # Panics
    /// If `dout`, `out` or `lse` does not have the length that it had after the forward pass.
    pub fn backward(&self, dout: &[f32]) -> [Vec<f32>; 3] {
        assert_eq!(dout.len(), self.q.len(), "dout");
        assert_eq!(self.out.len(), self.q.len(), "out");
        assert_eq!(self.lse.len(), self.q.len() / self.schedule.shape.head_dim, "lse");
        let mut gradient = [self.q, self.k, self.v].map(|x| vec![0.0; x.len()]);
        let [dq, dk, dv] = gradient.each_mut().map(|x| x.as_mut_ptr());
        let input = AttentionInput { q: self.q.as_ptr(), k: self.k.as_ptr(), v: self.v.as_ptr() };
        let (out, lse, dout) = (self.out.as_ptr(), self.lse.as_ptr(), dout.as_ptr());
        // SAFETY: lengths and segments were checked, here and in `forward`.
        unsafe {
            self.kernels.attention_backward(
                &self.schedule,
                self.schedule.backward(),
                AttentionSaved { input, out, lse, dout },
                AttentionGradient { dq, dk, dv },
                &mut Scratch::new(),
            );
        }
        gradient
    }
}
