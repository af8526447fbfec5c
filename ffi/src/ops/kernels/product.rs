//! Products with frozen weights.

use std::ops::Range;

use cutq_kernels::{COLUMNS, Kernels, LoraShape, Output, Packed, PackedShape, Work};

use super::ByKernels;
use crate::ggml::graph::Graph;
use crate::ggml::graph::custom::{CustomOp, SCRATCH, source};
use crate::ggml::node::Node;
use crate::gguf::dequantize::Quantized;
use crate::model::weight::Weight;
use crate::sys;

/// Which way a product goes through a weight.
#[derive(Clone, Copy)]
pub(super) enum Orientation {
    /// `y[m, t] = Σ_k W[k, m] x[k, t]`
    Forward,
    /// `dx[k, t] = Σ_m W[k, m] dy[m, t]`
    Transposed,
}

impl Orientation {
    /// The outputs of a product with `weight`, divided in whole panels and, transposed, in blocks.
    pub fn outputs(self, weight: Quantized, block: usize) -> Work {
        match self {
            Self::Forward => Work::Even { n: weight.n_out, unit: COLUMNS },
            Self::Transposed => Work::Even { n: weight.n_in, unit: COLUMNS.max(block) },
        }
    }
}

/// What an adapter adds to a product: `wide`, A or B, times `narrow`, `dlow` or `low`.
pub(super) struct Addend<'g> {
    pub narrow: Node<'g>,
    pub wide: Node<'g>,
    pub shape: LoraShape,
}

impl ByKernels {
    /// `x` packed for the products; those of the same input share it.
    pub(super) fn pack<'g>(self, graph: &'g Graph, x: Node<'g>) -> (Node<'g>, PackedShape) {
        let [r, n_tokens, ..] = x.ne();
        let shape = PackedShape { precision: self.precision, n_tokens, r };
        let node = graph.shared(("packed", [x.as_ptr().addr(), 0]), || {
            let op = Pack { kernels: self.kernels, shape };
            graph.custom(sys::GGML_TYPE_I8, [shape.bytes(), 1], &[x], op)
        });
        (node, shape)
    }

    /// The product of `input` with a weight, plus what an adapter adds: `B · low` forward;
    /// transposed `Aᵀ · dlow`, where the input was not dropped.
    pub(super) fn product<'g>(
        self,
        g: &'g Graph,
        weight: &'g Weight,
        orientation: Orientation,
        input: Node<'g>,
        addend: Option<Addend<'g>>,
    ) -> Node<'g> {
        let data = weight.data;
        let (n_input, n_output) = match orientation {
            Orientation::Forward => (data.n_in, data.n_out),
            Orientation::Transposed => (data.n_out, data.n_in),
        };
        let ne = input.ne();
        assert!(ne[0] == n_input && ne[2] == 1 && ne[3] == 1, "{ne:?} for {data:?}");
        let (packed, shape) = self.pack(g, input);
        let panels = weight.panels[orientation as usize].as_ref();
        let mut sources = vec![packed, g.leaf(panels.unwrap_or(&weight.tensor))];
        if let Some(Addend { narrow, wide, shape: lora }) = &addend {
            assert_eq!([lora.n_tokens, lora.n_in, lora.n_out], [ne[1], data.n_in, data.n_out]);
            assert!(narrow.ne() == [lora.row(), ne[1], 1, 1] && narrow.is_contiguous());
            sources.extend([*narrow, *wide]);
        }
        let op = ProductOp {
            kernels: self.kernels,
            shape,
            weight: data,
            orientation,
            panels: panels.is_some(),
            lora: addend.map(|addend| addend.shape),
        };
        g.custom(sys::GGML_TYPE_F32, [n_output, ne[1]], &sources, op)
    }
}

/// Rows that a thread packs at least.
const PACKED_ROWS: usize = 16;

struct Pack {
    kernels: Kernels,
    shape: PackedShape,
}

impl CustomOp for Pack {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Even { n: self.shape.n_tokens, unit: PACKED_ROWS }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, tokens: Range<usize>) {
        // SAFETY: the source is an F32 matrix of the shape's size, whose row stride is `nb[1]`;
        // `dst` has room for the packed bytes; threads pack different tokens.
        unsafe {
            let x = &*dst.src[0];
            let stride = x.nb[1] / size_of::<f32>();
            self.kernels.pack(self.shape, x.data.cast(), stride, tokens, dst.data.cast());
        }
    }
}

struct ProductOp {
    kernels: Kernels,
    shape: PackedShape,
    weight: Quantized,
    orientation: Orientation,
    /// Whether the second source is the weight's panels.
    panels: bool,
    lora: Option<LoraShape>,
}

impl CustomOp for ProductOp {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        // Panels can be divided anywhere, quantized blocks not.
        let block = if self.panels { 1 } else { self.weight.block() };
        self.orientation.outputs(self.weight, block)
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, range: Range<usize>) {
        let (kernels, weight) = (&self.kernels, self.weight);
        let y = dst.data.cast();
        let out = Output { data: y, stride: dst.ne[0] as usize, accumulate: false };
        // SAFETY: the first source was packed by a `Pack` node of the same shape, the second has
        // the weight's panels if `panels` says so, and there are two more with an adapter; `dst` is
        // a contiguous matrix of as many columns as `W` has rows, or columns if transposed, of
        // which each part is another; the adapter's matrices have the shapes that `product`
        // checked.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            use Orientation::{Forward, Transposed};
            let packed = Packed { shape: self.shape, data: source(dst, 0) };
            let own = range.clone();
            match self.orientation {
                _ if self.panels => kernels.product_of_panels(packed, source(dst, 1), own, out),
                Forward => kernels.product(packed, &weight, own, out, scratch),
                Transposed => kernels.product_transposed(packed, &weight, own, out, scratch),
            }
            let Some(lora) = &self.lora else { return };
            let (narrow, wide) = (source(dst, 2), source(dst, 3));
            match self.orientation {
                Forward => kernels.lora_add(lora, narrow, wide, range, y, scratch),
                Transposed => kernels.lora_add_dx(lora, narrow, wide, range, y, scratch),
            }
        });
    }
}
