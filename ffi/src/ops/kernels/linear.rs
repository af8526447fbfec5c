//! A frozen projection with its LoRA adapter.

use cutq_kernels::{Dropout, Kernels, LoraShape};

use crate::ggml::graph::{CustomOp, Node};
use crate::ops::kernels::product::{Addend, Frozen, SCRATCH, share};
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Tape, Var};
use crate::sys;

/// The trainable pair beside a frozen weight.
#[derive(Clone, Copy)]
pub(crate) struct Lora<'g> {
    /// A, of shape ne = (in, r).
    pub a: Var<'g>,
    /// B, of shape ne = (r, out).
    pub b: Var<'g>,
    /// `lora_alpha / r`.
    pub scaling: f32,
    /// What is dropped of the adapter's input.
    pub dropout: Option<Dropout>,
}

impl<'g> Tape<'g> {
    /// `y = W x + scaling · B A dropout(x)`; W is frozen, so its gradient is `dx = Wᵀ dy + …`.
    ///
    /// [`LoraShape`]'s functions state the adapter's products and gradients. `needed` says whether
    /// the backward pass reads `y`.
    pub fn linear(
        &mut self,
        x: Var<'g>,
        weight: &Frozen<'g>,
        lora: Option<Lora<'g>>,
        needed: bool,
    ) -> Var<'g> {
        match (lora, self.lowering) {
            (None, _) => self.bare_linear(x, weight, needed),
            (Some(lora), Lowering::Kernels { kernels, .. }) => {
                self.fused_linear(x, weight, lora, needed, kernels)
            }
            (Some(lora), Lowering::Portable { .. }) => {
                self.composed_linear(x, weight, lora, needed)
            }
        }
    }

    /// Without an adapter.
    fn bare_linear(&mut self, x: Var<'g>, weight: &Frozen<'g>, needed: bool) -> Var<'g> {
        let (g, weight) = (self.graph, weight.clone());
        let make = || weight.product(g, x.node, None);
        let wide = [weight.n_out(), x.node.ne()[1]];
        let y = self.keep_if(needed, wide, make);
        self.record(y, &[x], move |dy| vec![weight.product_transposed(g, dy, None)])
    }

    fn composed_linear(
        &mut self,
        x: Var<'g>,
        weight: &Frozen<'g>,
        lora: Lora<'g>,
        needed: bool,
    ) -> Var<'g> {
        let (g, weight) = (self.graph, weight.clone());
        let LoraShape { n_tokens, n_in, n_out, r, scaling, dropout } = lora.shape(x.node);
        let (a, b) = (lora.a.node, lora.b.node);
        let mask = dropout
            .map(|dropout| g.input_with([n_in, n_tokens], move || dropout.mask(n_in * n_tokens)));
        let dropped = move |x| mask.map_or(x, |mask| g.mul(x, mask));
        let input = dropped(x.node);
        let low = self.keep([r, n_tokens], || g.affine(g.mul_mat(a, input), scaling, 0.0));
        let make = || g.add(weight.product(g, x.node, None), g.mul_mat(b, low));
        let y = self.keep_if(needed, [n_out, n_tokens], make);
        self.record(y, &[x, lora.a, lora.b], move |dy| {
            let dlow = g.affine(g.mul_mat(g.transpose(b), dy), scaling, 0.0);
            let da = g.mul_mat(g.transpose(input), g.transpose(dlow));
            let db = g.mul_mat(g.transpose(low), g.transpose(dy));
            let dx = dropped(g.mul_mat(g.transpose(a), dlow));
            vec![g.add(weight.product_transposed(g, dy, None), dx), da, db]
        })
    }

    fn fused_linear(
        &mut self,
        x: Var<'g>,
        weight: &Frozen<'g>,
        lora: Lora<'g>,
        needed: bool,
        kernels: Kernels,
    ) -> Var<'g> {
        let (g, weight) = (self.graph, weight.clone());
        let shape = lora.shape(x.node);
        let LoraShape { n_tokens, n_in, n_out, r, .. } = shape;
        let (a, b) = (lora.a.node, lora.b.node);
        let narrow = [shape.row(), n_tokens];
        let node = move |ne, sources: [Node<'g>; 2], product| {
            g.custom(sys::GGML_TYPE_F32, ne, &sources, LowRank { kernels, shape, product })
        };
        let low = self.keep(narrow, || node(narrow, [x.node, a], Product::Low));
        let addend = Addend { narrow: low, wide: b, shape };
        let make = || weight.product(g, x.node, Some(addend));
        let y = self.keep_if(needed, [n_out, n_tokens], make);
        self.record(y, &[x, lora.a, lora.b], move |dy| {
            assert!(dy.is_contiguous() && dy.ne() == [n_out, n_tokens, 1, 1]);
            let dlow = node(narrow, [dy, b], Product::DLow);
            let da = node([n_in, r], [dlow, x.node], Product::DA);
            let db = node([r, n_out], [dy, low], Product::DB);
            let addend = Addend { narrow: dlow, wide: a, shape };
            vec![weight.product_transposed(g, dy, Some(addend)), da, db]
        })
    }
}

impl Lora<'_> {
    /// The kernels trust their pointers, so the shapes are checked once, here.
    fn shape(&self, x: Node<'_>) -> LoraShape {
        let ([n_in, r, ..], [_, n_out, ..]) = (self.a.node.ne(), self.b.node.ne());
        let n_tokens = x.ne()[1];
        assert_eq!(self.b.node.ne(), [r, n_out, 1, 1]);
        assert!(x.is_contiguous() && x.ne() == [n_in, n_tokens, 1, 1], "{:?} for A", x.ne());
        LoraShape { n_tokens, n_in, n_out, r, scaling: self.scaling, dropout: self.dropout }
    }
}

/// One of the adapter's products that are nodes of their own.
#[derive(Clone, Copy)]
enum Product {
    Low,
    DLow,
    DA,
    DB,
}

struct LowRank {
    kernels: Kernels,
    shape: LoraShape,
    product: Product,
}

impl CustomOp for LowRank {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Self { kernels, shape, product } = self;
        let share = |n, unit| share(n, unit, thread, n_threads);
        let out = dst.data.cast::<f32>();
        // SAFETY: sources and destination have the shapes that `Lora::shape` found, in the order
        // in which the product takes them; threads take different parts of `dst`.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let [p, q] = [0, 1].map(|i| (*dst.src[i]).data.cast_const().cast::<f32>());
            match product {
                Product::Low => {
                    kernels.lora_low(shape, p, q, share(shape.n_tokens, 1), out, scratch);
                }
                Product::DLow => {
                    kernels.lora_dlow(shape, p, q, share(shape.n_tokens, 1), out, scratch);
                }
                Product::DA => kernels.lora_da(shape, p, q, share(shape.n_in, 16), out, scratch),
                Product::DB => kernels.lora_db(shape, p, q, share(shape.n_out, 16), out, scratch),
            }
        });
    }
}
