//! Attention to kept keys and values:
//! [`Lowering::kept_attention`](crate::ops::lowering::Lowering).
//!
//! A node that puts the new keys and values behind the old ones, then one that reads all of them.

use std::ops::Range;

use cutq_kernels::{
    AttentionInput, AttentionOutput, AttentionSchedule, KeptSegment, Kernels, PAGE, Work,
};

use super::ByKernels;
use crate::ggml::graph::custom::{CustomOp, SCRATCH, source};
use crate::ops::attention::{Attention, Kept, KeptSequence};
use crate::ops::tape::{Tape, Var};
use crate::sys;

pub(super) fn attention<'g>(
    by: ByKernels,
    tape: &mut Tape<'g>,
    [q, k, v]: [Var<'g>; 3],
    attention: &Attention<'g>,
    kept: Kept<'g>,
) -> Var<'g> {
    let (q, k, v) = (q.node, k.node, v.node);
    attention.check([q, k, v]);
    let g = tape.graph;
    let [d, h, n_tokens, _] = q.ne();
    let width = d * k.ne()[1];
    let [all_k, all_v] = kept.tensors.each_ref().map(|tensor| g.leaf(tensor));
    let pairs = || attention.segments.iter().zip(kept.sequences);
    assert_eq!(attention.segments.len(), kept.sequences.len());
    for node in [all_k, all_v] {
        let [its_width, room, ..] = node.ne();
        let mut pages = kept.sequences.iter().flat_map(|sequence| &sequence.pages);
        assert!(its_width == width && pages.all(|page| page + PAGE <= room));
    }
    let to =
        pairs().flat_map(|(new, all)| (all.len - new.len..all.len).map(|token| all.row(token)));
    let keep = Keep { width, to: to.collect() };
    let all_k = g.custom_inplace(all_k, &[all_v, k, v], keep);
    let segments = pairs().map(|(&queries, KeptSequence { pages, len })| KeptSegment {
        pages,
        len: *len,
        queries,
    });
    let schedule = AttentionSchedule::kept(attention.shape, &segments.collect::<Vec<_>>());
    let n_out = attention.n_out();
    let read = Read { kernels: by.kernels, schedule, n_out };
    let ne = [n_out + h * n_tokens, 1];
    let out = g.custom(sys::GGML_TYPE_F32, ne, &[q, all_k, all_v], read);
    tape.constant(g.part(out, 0, [d * h, n_tokens, 1]))
}

/// Copies the rows of K and V to where they are kept.
struct Keep {
    width: usize,
    /// For each new token its row.
    to: Vec<usize>,
}

/// Rows that a thread copies at least.
const ROWS: usize = 16;

impl CustomOp for Keep {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Even { n: self.to.len(), unit: ROWS }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, tokens: Range<usize>) {
        let width = self.width;
        for token in tokens {
            // SAFETY: kept tensors and new ones have rows of this width, and as many as `attention`
            // checked; threads copy different tokens, whose rows differ, and nothing reads them
            // before the next node.
            unsafe {
                let all_v = source::<f32>(dst, 1).cast_mut();
                for (all, new) in [(dst.data.cast::<f32>(), 2), (all_v, 3)] {
                    let from = source::<f32>(dst, new).add(token * width);
                    from.copy_to_nonoverlapping(all.add(self.to[token] * width), width);
                }
            }
        }
    }
}

/// The attention of the new tokens: `out` and, behind it, `lse`.
struct Read {
    kernels: Kernels,
    schedule: AttentionSchedule,
    n_out: usize,
}

impl CustomOp for Read {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Tasks(self.schedule.forward().len())
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, tasks: Range<usize>) {
        let Self { kernels, schedule, n_out } = self;
        // SAFETY: the sources are Q of the pack and the kept K and V, whose sizes `attention` checked;
        // every task is handed out once.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = AttentionInput { q: source(dst, 0), k: source(dst, 1), v: source(dst, 2) };
            let out = dst.data.cast::<f32>();
            let output = AttentionOutput { out, lse: out.add(*n_out) };
            kernels.attention(schedule, tasks, input, output, scratch);
        });
    }
}
