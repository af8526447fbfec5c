//! RMS norm: [`Lowering::rms_norm`](crate::ops::lowering::Lowering).

use std::ops::Range;

use cutq_kernels::Kernels;

use crate::ggml::graph::chunks::share;
use crate::ggml::graph::custom::{CustomOp, floats, floats_mut};
use crate::ggml::node::Node;
use crate::ops::tape::{Tape, Var};
use crate::sys;

pub(super) fn rms_norm<'g>(
    kernels: Kernels,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    weight: Node<'g>,
    eps: f32,
) -> Var<'g> {
    let (g, op) = (tape.graph, Norm { kernels, eps });
    let [n, heads, n_tokens, _] = x.node.ne();
    assert!(x.node.is_contiguous() && weight.ne() == [n, 1, 1, 1]);
    let rows = [n, heads * n_tokens];
    let y = g.custom(sys::GGML_TYPE_F32, rows, &[x.node, weight], Forward(op));
    let y = g.reshape(y, [n, heads, n_tokens]);
    tape.record(y, &[x], move |dy| {
        assert!(dy.is_contiguous());
        let dx = g.custom(sys::GGML_TYPE_F32, rows, &[x.node, weight, dy], Backward(op));
        vec![g.reshape(dx, [n, heads, n_tokens])]
    })
}

#[derive(Clone, Copy)]
struct Norm {
    kernels: Kernels,
    eps: f32,
}

struct Forward(Norm);
struct Backward(Norm);

/// The elements of this thread's rows.
fn elements(dst: &sys::ggml_tensor, thread: usize, n_threads: usize) -> Range<usize> {
    let [n, rows, ..] = dst.ne.map(|n| n as usize);
    let rows = share(rows, 1, thread, n_threads);
    rows.start * n..rows.end * n
}

impl CustomOp for Forward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let range = elements(dst, thread, n_threads);
        // SAFETY: the input is as large as `dst`, the weight as its rows; threads take different
        // rows.
        unsafe {
            let (x, weight) = (floats(dst.src[0], range.clone()), weight(dst));
            self.0.kernels.rms_norm(x, weight, self.0.eps, floats_mut(dst, range));
        }
    }
}

impl CustomOp for Backward {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let range = elements(dst, thread, n_threads);
        // SAFETY: as for `Forward`; the third source is the gradient of its result.
        unsafe {
            let x = floats(dst.src[0], range.clone());
            let dy = floats(dst.src[2], range.clone());
            let dx = floats_mut(dst, range);
            self.0.kernels.rms_norm_backward(x, weight(dst), self.0.eps, dy, dx);
        }
    }
}

/// The second source.
///
/// # Safety
/// `dst` is a running node of this file.
unsafe fn weight(dst: &sys::ggml_tensor) -> &[f32] {
    // SAFETY: the caller's promise.
    unsafe { floats(dst.src[1], 0..dst.ne[0] as usize) }
}
