//! Products with frozen weights: ggml custom operations around [`cutq_kernels`], or composed of
//! portable operations.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use cutq_kernels::{
    COLUMNS, Kernels, LoraShape, Output, Packed, PackedShape, Precision, Scratch, panel_bytes,
};

use crate::ggml::buffer::Tensor;
use crate::ggml::graph::chunks::Pieces;
use crate::ggml::graph::{CustomOp, Graph, Node};
use crate::gguf::dequantize::Quantized;
use crate::ops::lowering::Lowering;
use crate::sys;

thread_local! {
    /// ggml's threads live as long as their pool, and so do their buffers.
    pub(crate) static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// A frozen matrix of ne = (in, out).
#[derive(Debug)]
pub(crate) struct Weight {
    pub tensor: Tensor,
    pub data: Quantized,
    /// Its panels in both orientations, forward first, where they are kept.
    pub panels: Option<[Tensor; 2]>,
}

impl Weight {
    /// Floats of its panels in each orientation, and of none where the kernels do not compute.
    pub fn panel_shapes(&self, lowering: Lowering) -> Option<[[usize; 2]; 2]> {
        let Lowering::Kernels { precision, .. } = lowering else { return None };
        let Quantized { n_in, n_out, .. } = self.data;
        let floats = |n, r| [panel_bytes(precision, n, r) / size_of::<f32>(), 1];
        Some([floats(n_out, n_in), floats(n_in, n_out)])
    }
}

/// How the products of one graph are computed, and the activations already packed for them.
pub(crate) struct Products<'g> {
    pub graph: &'g Graph,
    lowering: Lowering,
    packed: RefCell<HashMap<*mut sys::ggml_tensor, Node<'g>>>,
    /// The row numbers of pieces of a weight.
    pub indices: RefCell<HashMap<(usize, usize), Node<'g>>>,
}

/// A frozen weight in a graph.
#[derive(Clone)]
pub(crate) struct Frozen<'g> {
    pub weight: &'g Weight,
    pub products: Rc<Products<'g>>,
}

/// What an adapter adds to a product: `wide`, A or B, times `narrow`, `dlow` or `low`.
#[derive(Clone, Copy)]
pub(crate) struct Addend<'g> {
    pub narrow: Node<'g>,
    pub wide: Node<'g>,
    pub shape: LoraShape,
}

impl<'g> Products<'g> {
    pub fn new(graph: &'g Graph, lowering: Lowering) -> Rc<Self> {
        let (packed, indices) = (RefCell::default(), RefCell::default());
        Rc::new(Self { graph, lowering, packed, indices })
    }

    /// `x` packed for the kernels; projections of the same input share it.
    pub fn pack(
        &self,
        x: Node<'g>,
        kernels: Kernels,
        precision: Precision,
    ) -> (Node<'g>, PackedShape) {
        let [r, n_tokens, ..] = x.ne();
        let shape = PackedShape { precision, n_tokens, r };
        let mut packed = self.packed.borrow_mut();
        let node = *packed.entry(x.as_ptr()).or_insert_with(|| {
            let op = Pack { kernels, shape };
            self.graph.custom(sys::GGML_TYPE_I8, [shape.bytes(), 1], &[x], op)
        });
        (node, shape)
    }
}

impl<'g> Frozen<'g> {
    pub fn new(weight: &'g Weight, products: &Rc<Products<'g>>) -> Self {
        Self { weight, products: products.clone() }
    }

    /// Rows of W: the width of the output.
    pub fn n_out(&self) -> usize {
        self.weight.data.n_out
    }

    /// `y[m, t] = Σ_k W[k, m] x[k, t]`, plus `B · low`; only the kernels add that.
    pub fn product(&self, g: &'g Graph, x: Node<'g>, lora: Option<Addend<'g>>) -> Node<'g> {
        match self.products.lowering {
            Lowering::Kernels { kernels, precision } => {
                self.fused(g, x, lora, Orientation::Forward, (kernels, precision))
            }
            Lowering::Portable { precision } => {
                assert!(lora.is_none(), "only the kernels add to a product");
                self.composed(g, x, precision)
            }
        }
    }

    /// `dx[k, t] = Σ_m W[k, m] dy[m, t]`, plus `Aᵀ · dlow` where the input was not dropped.
    pub fn product_transposed(
        &self,
        g: &'g Graph,
        dy: Node<'g>,
        lora: Option<Addend<'g>>,
    ) -> Node<'g> {
        match self.products.lowering {
            Lowering::Kernels { kernels, precision } => {
                self.fused(g, dy, lora, Orientation::Transposed, (kernels, precision))
            }
            Lowering::Portable { .. } => {
                assert!(lora.is_none(), "only the kernels add to a product");
                self.composed_transposed(g, dy)
            }
        }
    }

    fn fused(
        &self,
        g: &'g Graph,
        input: Node<'g>,
        lora: Option<Addend<'g>>,
        orientation: Orientation,
        (kernels, precision): (Kernels, Precision),
    ) -> Node<'g> {
        let data = self.weight.data;
        let (n_input, n_output) = match orientation {
            Orientation::Forward => (data.n_in, data.n_out),
            Orientation::Transposed => (data.n_out, data.n_in),
        };
        let ne = input.ne();
        assert!(ne[0] == n_input && ne[2] == 1 && ne[3] == 1, "{ne:?} for {data:?}");
        let (packed, shape) = self.products.pack(input, kernels, precision);
        let panels = self.weight.panels.as_ref().map(|panels| &panels[orientation as usize]);
        let mut sources = vec![packed, g.leaf(panels.unwrap_or(&self.weight.tensor))];
        if let Some(Addend { narrow, wide, shape: lora }) = lora {
            assert_eq!([lora.n_tokens, lora.n_in, lora.n_out], [ne[1], data.n_in, data.n_out]);
            assert!(narrow.ne() == [lora.row(), ne[1], 1, 1] && narrow.is_contiguous());
            sources.extend([narrow, wide]);
        }
        let lora = lora.map(|lora| lora.shape);
        let (panels, pieces) = (panels.is_some(), Pieces::default());
        let op = Product { kernels, shape, weight: data, orientation, panels, lora, pieces };
        g.custom(sys::GGML_TYPE_F32, [n_output, ne[1]], &sources, op)
    }
}

/// The share of `0..n` that thread `thread` takes, in multiples of `unit`.
pub(crate) fn share(n: usize, unit: usize, thread: usize, n_threads: usize) -> Range<usize> {
    let units = n.div_ceil(unit);
    let bound = |i: usize| (units * i / n_threads * unit).min(n);
    bound(thread)..bound(thread + 1)
}

struct Pack {
    kernels: Kernels,
    shape: PackedShape,
}

impl CustomOp for Pack {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let tokens = share(self.shape.n_tokens, 1, thread, n_threads);
        // SAFETY: the source is an F32 matrix of the shape's size, whose row stride is `nb[1]`;
        // `dst` has room for the packed bytes; threads pack different tokens.
        unsafe {
            let x = &*dst.src[0];
            let stride = x.nb[1] / size_of::<f32>();
            self.kernels.pack(self.shape, x.data.cast(), stride, tokens, dst.data.cast());
        }
    }
}

#[derive(Clone, Copy)]
enum Orientation {
    Forward,
    Transposed,
}

impl Orientation {
    /// Outputs of a product with `weight`, and in whose multiples threads divide them.
    fn outputs(self, weight: Quantized) -> (usize, usize) {
        match self {
            Self::Forward => (weight.n_out, COLUMNS),
            Self::Transposed => (weight.n_in, COLUMNS.max(weight.block())),
        }
    }
}

struct Product {
    kernels: Kernels,
    shape: PackedShape,
    weight: Quantized,
    orientation: Orientation,
    /// Whether the second source is the weight's panels.
    panels: bool,
    lora: Option<LoraShape>,
    pieces: Pieces,
}

impl CustomOp for Product {
    unsafe fn run(&self, dst: &sys::ggml_tensor, _thread: usize, n_threads: usize) {
        let (kernels, shape, weight) = (&self.kernels, self.shape, self.weight);
        let source = |i: usize| {
            // SAFETY: the node has two sources, and two more with an adapter.
            unsafe { (*dst.src[i]).data.cast_const().cast::<f32>() }
        };
        let packed = Packed { shape, data: source(0).cast() };
        let (panels, y) = (source(1).cast(), dst.data.cast());
        let out = Output { data: y, stride: dst.ne[0] as usize, accumulate: false };
        let row = |m: usize, out: &mut [f32]| weight.unpack(m, 0, out);
        let part = |m: usize, k: usize, out: &mut [f32]| weight.unpack(m, k, out);
        let (n, unit) = self.orientation.outputs(weight);
        // Panels can be divided anywhere, quantized blocks not.
        let unit = if self.panels { COLUMNS } else { unit };
        // SAFETY: the first source was packed by a `Pack` node of the same shape, the second has
        // the weight's panels if `panels` says so; `dst` is a contiguous matrix of as many columns
        // as `W` has rows, or columns if transposed, whose pieces go to one thread each; the
        // adapter's matrices have the shapes that `fused` checked.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            use Orientation::{Forward, Transposed};
            while let Some(range) = self.pieces.take(n, unit, n_threads) {
                let own = range.clone();
                match self.orientation {
                    _ if self.panels => kernels.product_of_panels(packed, panels, own, out),
                    Forward => kernels.product(packed, &row, own, out, scratch),
                    Transposed => kernels.product_transposed(packed, &part, own, out, scratch),
                }
                let Some(lora) = &self.lora else { continue };
                let (narrow, wide) = (source(2), source(3));
                match self.orientation {
                    Forward => kernels.lora_add(lora, narrow, wide, range, y, scratch),
                    Transposed => kernels.lora_add_dx(lora, narrow, wide, range, y, scratch),
                }
            }
        });
    }
}

/// Adds the making of `weight`'s panels to a graph, into memory of [`Weight::panel_shapes`].
pub(crate) fn make_panels<'g>(
    graph: &'g Graph,
    (kernels, precision): (Kernels, Precision),
    weight: Quantized,
    panels: &'g [Tensor; 2],
) {
    for (orientation, panels) in [Orientation::Forward, Orientation::Transposed].iter().zip(panels)
    {
        let (orientation, pieces) = (*orientation, Pieces::default());
        let op = MakePanels { kernels, precision, weight, orientation, pieces };
        graph.output(graph.custom_inplace(graph.leaf(panels), &[], op));
    }
}

struct MakePanels {
    kernels: Kernels,
    precision: Precision,
    weight: Quantized,
    orientation: Orientation,
    pieces: Pieces,
}

impl CustomOp for MakePanels {
    unsafe fn run(&self, dst: &sys::ggml_tensor, _thread: usize, n_threads: usize) {
        let (kernels, precision, weight) = (&self.kernels, self.precision, self.weight);
        let Quantized { n_in, n_out, .. } = weight;
        let row = |m: usize, out: &mut [f32]| weight.unpack(m, 0, out);
        let part = |m: usize, k: usize, out: &mut [f32]| weight.unpack(m, k, out);
        let (n, unit) = self.orientation.outputs(weight);
        let to: *mut u8 = dst.data.cast();
        assert!(to.addr().is_multiple_of(64), "panels are read a cache line at a time");
        // SAFETY: `dst` has room for all panels and is aligned; its pieces, of whole panels, go to
        // one thread each.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            while let Some(own) = self.pieces.take(n, unit, n_threads) {
                match self.orientation {
                    Orientation::Forward => {
                        kernels.make_panels(precision, n_in, &row, own, to, scratch);
                    }
                    Orientation::Transposed => {
                        kernels.make_panels_transposed(precision, n_out, &part, own, to, scratch);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_once() {
        for n in 0..300 {
            for unit in [1, 32, 256] {
                for n_threads in 1..5 {
                    let shares = (0..n_threads).map(|i| share(n, unit, i, n_threads));
                    let all: Vec<usize> = shares.flatten().collect();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                }
            }
        }
    }
}
