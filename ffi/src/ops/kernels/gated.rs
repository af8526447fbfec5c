//! The gated nonlinearity of the feed-forward network:
//! [`Lowering::gated`](crate::ops::lowering::Lowering).

use std::ops::Range;

use cutq_kernels::{Kernels, Nonlinearity, Work};

use crate::ggml::graph::custom::{CustomOp, floats, floats_mut};
use crate::ops::tape::{Tape, Var};
use crate::sys;

pub(super) fn gated<'g>(
    kernels: Kernels,
    tape: &mut Tape<'g>,
    nonlinearity: Nonlinearity,
    [gate, up]: [Var<'g>; 2],
) -> Var<'g> {
    let (g, op) = (tape.graph, Gated { kernels, nonlinearity });
    let [n, n_tokens, ..] = gate.node.ne();
    let (sources, ne) = ([gate.node, up.node], [n, n_tokens, 1]);
    for node in sources {
        assert!(node.is_contiguous() && node.ne() == [n, n_tokens, 1, 1]);
    }
    let y = g.custom(sys::GGML_TYPE_F32, [n, n_tokens], &sources, Forward(op));
    tape.record(y, &[gate, up], move |dy| {
        assert!(dy.is_contiguous() && dy.ne() == [n, n_tokens, 1, 1]);
        let sources = [sources[0], sources[1], dy];
        let both = g.custom(sys::GGML_TYPE_F32, [n, 2 * n_tokens], &sources, Backward(op));
        vec![g.part(both, 0, ne), g.part(both, n * n_tokens, ne)]
    })
}

#[derive(Clone, Copy)]
struct Gated {
    kernels: Kernels,
    nonlinearity: Nonlinearity,
}

struct Forward(Gated);

/// `dgate` and, behind it, `dup`.
struct Backward(Gated);

/// Elements that a thread takes at least.
const UNIT: usize = 4096;

impl CustomOp for Forward {
    fn work(&self, dst: &sys::ggml_tensor) -> Work {
        Work::Even { n: (dst.ne[0] * dst.ne[1]) as usize, unit: UNIT }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, range: Range<usize>) {
        let Gated { kernels, nonlinearity } = self.0;
        // SAFETY: both sources are as large as `dst`; threads take different elements.
        unsafe {
            let [gate, up] = [0, 1].map(|i| floats(dst.src[i], range.clone()));
            kernels.gated(nonlinearity, gate, up, floats_mut(dst, range));
        }
    }
}

impl CustomOp for Backward {
    fn work(&self, dst: &sys::ggml_tensor) -> Work {
        Work::Even { n: (dst.ne[0] * dst.ne[1] / 2) as usize, unit: UNIT }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, range: Range<usize>) {
        let Gated { kernels, nonlinearity } = self.0;
        let n = (dst.ne[0] * dst.ne[1] / 2) as usize;
        // SAFETY: the sources are half as large as `dst`; threads take different elements of both
        // halves.
        unsafe {
            let [gate, up, dy] = [0, 1, 2].map(|i| floats(dst.src[i], range.clone()));
            let dgate = floats_mut(dst, range.clone());
            let dup = floats_mut(dst, range.start + n..range.end + n);
            kernels.gated_backward(nonlinearity, [gate, up], dy, [dgate, dup]);
        }
    }
}
