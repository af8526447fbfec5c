//! A frozen projection with its LoRA adapter: [`Lowering::linear`](crate::ops::lowering::Lowering).

use std::ops::Range;

use cutq_kernels::{Kernels, LoraShape, Work};

use super::ByKernels;
use super::product::{Addend, Orientation};
use crate::ggml::graph::custom::{CustomOp, SCRATCH, source};
use crate::ggml::node::Node;
use crate::model::weight::Weight;
use crate::ops::linear::{Linear, Lora};
use crate::ops::tape::{Tape, Var};
use crate::sys;

pub(super) fn linear<'g>(
    by: ByKernels,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    Linear { weight, lora, needed }: Linear<'g>,
) -> Var<'g> {
    if let Some(lora) = lora {
        return adapted(by, tape, x, weight, lora, needed);
    }
    let g = tape.graph;
    let make = || by.product(g, weight, Orientation::Forward, x.node, None);
    let y = tape.save_if(needed, [weight.data.n_out, x.node.ne()[1]], make);
    tape.record(y, &[x], move |dy| vec![by.product(g, weight, Orientation::Transposed, dy, None)])
}

fn adapted<'g>(
    by: ByKernels,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    weight: &'g Weight,
    lora: Lora<'g>,
    needed: bool,
) -> Var<'g> {
    let g = tape.graph;
    let shape = lora.shape(x.node);
    let LoraShape { n_tokens, n_in, n_out, r, .. } = shape;
    let (a, b) = (lora.a.node, lora.b.node);
    let narrow = [shape.row(), n_tokens];
    let of = shape.clone();
    let node = move |ne, sources: [Node<'g>; 2], op| {
        let op = LowRank { kernels: by.kernels, shape: of.clone(), op };
        g.custom(sys::GGML_TYPE_F32, ne, &sources, op)
    };
    let low = tape.save(narrow, || node(narrow, [x.node, a], LowRankOp::Low));
    let addend = Addend { narrow: low, wide: b, shape: shape.clone() };
    let make = || by.product(g, weight, Orientation::Forward, x.node, Some(addend));
    let y = tape.save_if(needed, [n_out, n_tokens], make);
    tape.record(y, &[x, lora.a, lora.b], move |dy| {
        assert!(dy.is_contiguous() && dy.ne() == [n_out, n_tokens, 1, 1]);
        let dlow = node(narrow, [dy, b], LowRankOp::DLow);
        let da = node([n_in, r], [dlow, x.node], LowRankOp::DA);
        let db = node([r, n_out], [dy, low], LowRankOp::DB);
        let addend = Addend { narrow: dlow, wide: a, shape: shape.clone() };
        vec![by.product(g, weight, Orientation::Transposed, dy, Some(addend)), da, db]
    })
}

/// One of the adapter's products that are nodes of their own.
#[derive(Clone, Copy)]
enum LowRankOp {
    Low,
    DLow,
    DA,
    DB,
}

struct LowRank {
    kernels: Kernels,
    shape: LoraShape,
    op: LowRankOp,
}

/// Rows or columns that a thread takes at least.
const UNIT: usize = 64;

impl CustomOp for LowRank {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        let n = match self.op {
            LowRankOp::Low | LowRankOp::DLow => self.shape.n_tokens,
            LowRankOp::DA => self.shape.n_in,
            LowRankOp::DB => self.shape.n_out,
        };
        Work::Even { n, unit: UNIT }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, part: Range<usize>) {
        let Self { kernels, shape, op } = self;
        let out = dst.data.cast::<f32>();
        // SAFETY: sources and destination have the shapes that `Lora::shape` found, in the order
        // in which the product takes them; threads take different parts of `dst`.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let [p, q] = [source(dst, 0), source(dst, 1)];
            match op {
                LowRankOp::Low => kernels.lora_low(shape, p, q, part, out, scratch),
                LowRankOp::DLow => kernels.lora_dlow(shape, p, q, part, out, scratch),
                LowRankOp::DA => kernels.lora_da(shape, p, q, part, out, scratch),
                LowRankOp::DB => kernels.lora_db(shape, p, q, part, out, scratch),
            }
        });
    }
}
