//! RMS norm: [`Lowering::rms_norm`](crate::ops::lowering::Lowering).

use std::ops::Range;

use cutq_kernels::{Kernels, Work};

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

/// Elements, of which a thread takes a few thousand at least, in whole rows.
fn elements(dst: &sys::ggml_tensor) -> Work {
    let [n, rows, ..] = dst.ne.map(|n| n as usize);
    Work::Even { n: rows * n, unit: 4096usize.next_multiple_of(n) }
}

impl CustomOp for Forward {
    fn work(&self, dst: &sys::ggml_tensor) -> Work {
        elements(dst)
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, range: Range<usize>) {
        // SAFETY: the input is as large as `dst`, the weight as its rows; threads take different
        // rows.
        unsafe {
            let (x, weight) = (floats(dst.src[0], range.clone()), weight(dst));
            self.0.kernels.rms_norm(x, weight, self.0.eps, floats_mut(dst, range));
        }
    }
}

impl CustomOp for Backward {
    fn work(&self, dst: &sys::ggml_tensor) -> Work {
        elements(dst)
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, range: Range<usize>) {
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
