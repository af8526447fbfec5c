//! Causal grouped-query attention over packed sequences: ggml custom operations around
//! [`cutq_kernels`], or composed of portable operations.
//!
//! Composed of ggml's own operations, attention took most of a training step on the CPU and memory
//! for every score; the kernel keeps no scores.

use cutq_kernels::{
    AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved, AttentionShape, Kernels,
    Segment, Share,
};

use crate::ggml::graph::{CustomOp, Node};
use crate::ops::kernels::product::SCRATCH;
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Tape, Var};
use crate::sys;

/// The attention of one block.
#[derive(Clone)]
pub(crate) struct Attention {
    pub shape: AttentionShape,
    /// The sequences of the pack.
    pub segments: Vec<Segment>,
}

impl<'g> Tape<'g> {
    /// `softmax(scale · qᵀk) v` within each segment; `q` is of shape (D, H, T), `k` and `v` of
    /// (D, Hkv, T), the result of (D·H, T). See [`Kernels::attention`] for the gradient.
    pub fn attention(&mut self, [q, k, v]: [Var<'g>; 3], attention: &Attention) -> Var<'g> {
        attention.check(&[q.node, k.node, v.node]);
        match self.lowering {
            Lowering::Kernels { kernels, .. } => {
                let attention = Fused { kernels, attention: attention.clone() };
                self.fused_attention([q, k, v], &attention)
            }
            Lowering::Portable { .. } => attention.composed(self, [q, k, v]),
        }
    }

    fn fused_attention(&mut self, [q, k, v]: [Var<'g>; 3], attention: &Fused) -> Var<'g> {
        let g = self.graph;
        let [d, h, n_tokens, _] = q.node.ne();
        let [_, h_kv, ..] = k.node.ne();
        let sources = [q.node, k.node, v.node];
        let (n_out, n_kv) = (d * h * n_tokens, d * h_kv * n_tokens);
        let ne = [n_out + h * n_tokens, 1];
        let op = || Forward(attention.clone());
        let forward = self.keep(ne, || g.custom(sys::GGML_TYPE_F32, ne, &sources, op()));
        let y = g.part(forward, 0, [d * h, n_tokens, 1]);
        let attention = attention.clone();
        self.record(y, &[q, k, v], move |dy| {
            assert_eq!(dy.ne(), [d * h, n_tokens, 1, 1]);
            let backward = g.custom(
                sys::GGML_TYPE_F32,
                [n_out + 2 * n_kv, 1],
                &[sources[0], sources[1], sources[2], forward, dy],
                Backward(attention.clone()),
            );
            vec![
                g.part(backward, 0, [d, h, n_tokens]),
                g.part(backward, n_out, [d, h_kv, n_tokens]),
                g.part(backward, n_out + n_kv, [d, h_kv, n_tokens]),
            ]
        })
    }
}

impl Attention {
    /// The kernels trust their pointers, so the shapes are checked once, here.
    fn check(&self, sources: &[Node<'_>; 3]) {
        let AttentionShape { n_head, n_head_kv, head_dim, .. } = self.shape;
        let n_tokens = sources[0].ne()[2];
        for (node, heads) in sources.iter().zip([n_head, n_head_kv, n_head_kv]) {
            assert_eq!(node.ne(), [head_dim, heads, n_tokens, 1]);
            assert!(node.is_contiguous());
        }
        let mut end = 0;
        for segment in &self.segments {
            assert_eq!(segment.start, end, "segments follow each other");
            end += segment.len;
        }
        assert_eq!(end, n_tokens, "segments cover the pack");
    }

    /// Nodes of a graph with this attention, forward and backward, at most.
    pub fn capacity(segments: &[Segment]) -> usize {
        crate::ops::portable::attention::capacity(segments)
    }

    fn n_out(&self) -> usize {
        let n_tokens: usize = self.segments.iter().map(|s| s.len).sum();
        self.shape.head_dim * self.shape.n_head * n_tokens
    }

    fn n_kv(&self) -> usize {
        self.n_out() / self.shape.n_head * self.shape.n_head_kv
    }
}

/// Attention by the kernels.
#[derive(Clone)]
struct Fused {
    kernels: Kernels,
    attention: Attention,
}

/// Data of source `i`.
///
/// # Safety
/// `dst` is a running node with that many F32 sources.
unsafe fn source(dst: &sys::ggml_tensor, i: usize) -> *const f32 {
    // SAFETY: the caller's promise.
    unsafe { (*dst.src[i]).data.cast_const().cast() }
}

/// `out` and, behind it, `lse`.
struct Forward(Fused);

impl CustomOp for Forward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Fused { kernels, attention } = &self.0;
        let Attention { shape, segments } = attention;
        let share = Share { thread, n_threads };
        // SAFETY: sources and destination have the shapes that `Attention::check` found and the
        // sizes that the node was made with; each thread passes its own number.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = AttentionInput { q: source(dst, 0), k: source(dst, 1), v: source(dst, 2) };
            let out = dst.data.cast::<f32>();
            let output = AttentionOutput { out, lse: out.add(attention.n_out()) };
            kernels.attention(*shape, segments, input, output, share, scratch);
        });
    }
}

/// `dq` and, behind it, `dk` and `dv`.
struct Backward(Fused);

impl CustomOp for Backward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Fused { kernels, attention } = &self.0;
        let Attention { shape, segments } = attention;
        let (n_out, n_kv) = (attention.n_out(), attention.n_kv());
        let share = Share { thread, n_threads };
        // SAFETY: as for `Forward`; the fourth source is its result, the fifth its gradient.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = AttentionInput { q: source(dst, 0), k: source(dst, 1), v: source(dst, 2) };
            let out = source(dst, 3);
            let saved = AttentionSaved { input, out, lse: out.add(n_out), dout: source(dst, 4) };
            let dq = dst.data.cast::<f32>();
            let gradient = AttentionGradient { dq, dk: dq.add(n_out), dv: dq.add(n_out + n_kv) };
            kernels.attention_backward(*shape, segments, saved, gradient, share, scratch);
        });
    }
}
