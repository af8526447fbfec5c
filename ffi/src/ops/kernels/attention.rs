//! Attention: [`Lowering::attention`](crate::ops::lowering::Lowering).
//!
//! Composed of ggml's own operations, attention took most of a training step on the CPU and memory
//! for every score; the kernel keeps no scores.

use cutq_kernels::{
    AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved, Kernels, Share,
};

use crate::ggml::graph::custom::{CustomOp, SCRATCH, source};
use crate::ops::attention::Attention;
use crate::ops::tape::{Tape, Var};
use crate::sys;

pub(super) fn attention<'g>(
    kernels: Kernels,
    tape: &mut Tape<'g>,
    [q, k, v]: [Var<'g>; 3],
    attention: &Attention,
) -> Var<'g> {
    let sources = [q.node, k.node, v.node];
    attention.check(sources);
    let g = tape.graph;
    let [d, h, n_tokens, _] = q.node.ne();
    let [_, h_kv, ..] = k.node.ne();
    let (n_out, n_kv) = (attention.n_out(), attention.n_kv());
    let ne = [n_out + h * n_tokens, 1];
    let op = Op { kernels, attention: attention.clone() };
    let make = || g.custom(sys::GGML_TYPE_F32, ne, &sources, Forward(op.clone()));
    let forward = tape.save(ne, make);
    let y = g.part(forward, 0, [d * h, n_tokens, 1]);
    tape.record(y, &[q, k, v], move |dy| {
        assert_eq!(dy.ne(), [d * h, n_tokens, 1, 1]);
        let backward = g.custom(
            sys::GGML_TYPE_F32,
            [n_out + 2 * n_kv, 1],
            &[sources[0], sources[1], sources[2], forward, dy],
            Backward(op.clone()),
        );
        vec![
            g.part(backward, 0, [d, h, n_tokens]),
            g.part(backward, n_out, [d, h_kv, n_tokens]),
            g.part(backward, n_out + n_kv, [d, h_kv, n_tokens]),
        ]
    })
}

#[derive(Clone)]
struct Op {
    kernels: Kernels,
    attention: Attention,
}

/// `out` and, behind it, `lse`.
struct Forward(Op);

impl CustomOp for Forward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Op { kernels, attention } = &self.0;
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
struct Backward(Op);

impl CustomOp for Backward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Op { kernels, attention } = &self.0;
        let Attention { shape, segments } = attention;
        let (n_out, n_kv) = (attention.n_out(), attention.n_kv());
        let share = Share { thread, n_threads };
        // SAFETY: as for `Forward`; the fourth source is its result, the fifth its gradient.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = AttentionInput { q: source(dst, 0), k: source(dst, 1), v: source(dst, 2) };
            let out: *const f32 = source(dst, 3);
            let saved = AttentionSaved { input, out, lse: out.add(n_out), dout: source(dst, 4) };
            let dq = dst.data.cast::<f32>();
            let gradient = AttentionGradient { dq, dk: dq.add(n_out), dv: dq.add(n_out + n_kv) };
            kernels.attention_backward(*shape, segments, saved, gradient, share, scratch);
        });
    }
}
