//! Attention: [`Lowering::attention`](crate::ops::lowering::Lowering).
//!
//! Composed of ggml's own operations, attention took most of a training step on the CPU and memory
//! for every score; the kernel keeps no scores.

use std::ops::Range;
use std::sync::Arc;

use cutq_kernels::{
    AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved, AttentionSchedule, Kernels,
    Work,
};

use super::ByKernels;
use crate::ggml::graph::custom::{CustomOp, SCRATCH, source};
use crate::ops::attention::Attention;
use crate::ops::tape::{Tape, Var};
use crate::sys;

pub(super) fn attention<'g>(
    by: ByKernels,
    tape: &mut Tape<'g>,
    [q, k, v]: [Var<'g>; 3],
    attention: &Attention<'g>,
) -> Var<'g> {
    let sources = [q.node, k.node, v.node];
    attention.check(sources);
    let g = tape.graph;
    let [d, h, n_tokens, _] = q.node.ne();
    let [_, h_kv, ..] = k.node.ne();
    let (n_out, n_kv) = (attention.n_out(), attention.n_kv());
    let ne = [n_out + h * n_tokens, 1];
    let schedule = AttentionSchedule::new(attention.shape, &attention.segments, by.n_threads);
    let op = Op { kernels: by.kernels, schedule: Arc::new(schedule), n_out, n_kv };
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
    schedule: Arc<AttentionSchedule>,
    /// Elements of q, and of the result.
    n_out: usize,
    /// Elements of k, and of v.
    n_kv: usize,
}

/// `out` and, behind it, `lse`.
struct Forward(Op);

impl CustomOp for Forward {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Tasks(self.0.schedule.forward().len())
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, tasks: Range<usize>) {
        let Op { kernels, schedule, n_out, .. } = &self.0;
        // SAFETY: sources and destination have the shapes that `Attention::check` found and the
        // sizes that the node was made with; every task is handed out once.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = AttentionInput { q: source(dst, 0), k: source(dst, 1), v: source(dst, 2) };
            let out = dst.data.cast::<f32>();
            let output = AttentionOutput { out, lse: out.add(*n_out) };
            kernels.attention(schedule, tasks, input, output, scratch);
        });
    }
}

/// `dq` and, behind it, `dk` and `dv`.
struct Backward(Op);

impl CustomOp for Backward {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Tasks(self.0.schedule.backward().len())
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, tasks: Range<usize>) {
        let Op { kernels, schedule, n_out, n_kv } = &self.0;
        // SAFETY: as for `Forward`; the fourth source is its result, the fifth its gradient.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = AttentionInput { q: source(dst, 0), k: source(dst, 1), v: source(dst, 2) };
            let out: *const f32 = source(dst, 3);
            let saved = AttentionSaved { input, out, lse: out.add(*n_out), dout: source(dst, 4) };
            let dq = dst.data.cast::<f32>();
            let gradient = AttentionGradient { dq, dk: dq.add(*n_out), dv: dq.add(n_out + n_kv) };
            kernels.attention_backward(schedule, tasks, saved, gradient, scratch);
        });
    }
}
