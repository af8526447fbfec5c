//! RMS norm.

use std::ops::Range;

use cutq_kernels::Kernels;

use crate::ggml::graph::{CustomOp, Node, floats, floats_mut};
use crate::ops::kernels::product::share;
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Tape, Var};
use crate::sys;

impl<'g> Tape<'g> {
    /// `y = w · x / r` with `r = √(mean(x²) + eps)` along the fastest dimension.
    ///
    /// With `x̂ = x / r` and `g = w · dy`: `dx = (g − x̂ · mean(g · x̂)) / r`.
    pub fn rms_norm(&mut self, x: Var<'g>, weight: Node<'g>, eps: f32) -> Var<'g> {
        match self.lowering {
            Lowering::Kernels { kernels, .. } => {
                self.fused_rms_norm(x, weight, Norm { kernels, eps })
            }
            Lowering::Portable { .. } => self.composed_rms_norm(x, weight, eps),
        }
    }

    fn composed_rms_norm(&mut self, x: Var<'g>, weight: Node<'g>, eps: f32) -> Var<'g> {
        let graph = self.graph;
        let n = x.node.ne()[0] as f32;
        let normed = graph.normalize(x.node, eps);
        let y = graph.mul(normed, weight);
        self.record(y, &[x], move |dy| {
            let g = graph.mul(dy, weight);
            let mean = graph.affine(graph.sum_rows(graph.mul(g, normed)), 1.0 / n, 0.0);
            let mean_square = graph.affine(graph.sum_rows(graph.sqr(x.node)), 1.0 / n, eps);
            let numerator = graph.sub(g, graph.mul(normed, mean));
            vec![graph.div(numerator, graph.sqrt(mean_square))]
        })
    }

    fn fused_rms_norm(&mut self, x: Var<'g>, weight: Node<'g>, op: Norm) -> Var<'g> {
        let g = self.graph;
        let [n, heads, n_tokens, _] = x.node.ne();
        assert!(x.node.is_contiguous() && weight.ne() == [n, 1, 1, 1]);
        let rows = [n, heads * n_tokens];
        let y = g.custom(sys::GGML_TYPE_F32, rows, &[x.node, weight], Forward(op));
        let y = g.reshape(y, [n, heads, n_tokens]);
        self.record(y, &[x], move |dy| {
            assert!(dy.is_contiguous());
            let dx = g.custom(sys::GGML_TYPE_F32, rows, &[x.node, weight, dy], Backward(op));
            vec![g.reshape(dx, [n, heads, n_tokens])]
        })
    }
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
