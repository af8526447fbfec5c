//! The head by the kernels.
//!
//! Logits are never stored: see [`cutq_kernels::HeadShape`]. The backward pass is one graph with a
//! pair of nodes for each piece of the vocabulary, so that ggml synchronizes the threads between
//! the gradient of a piece's logits, whose rows they divide, and its way back through the weights,
//! whose columns they divide.

use std::ops::Range;
use std::rc::Rc;

use cutq_kernels::{
    COLUMNS, HeadInput, HeadShape, Kernels, LogProb, LogitGradient, Output, Packed, Precision,
    VOCAB_PART,
};

use crate::ggml::backend::BackendError;
use crate::ggml::buffer::{self, Tensor};
use crate::ggml::graph::{CustomOp, Graph, Node};
use crate::gguf::dequantize::Quantized;
use crate::ops::head::{Head, Rows};
use crate::ops::kernels::product::{Products, SCRATCH, share};
use crate::ops::tape::Tape;
use crate::sys;

/// More than the tensors of a graph besides those of the pieces of the vocabulary.
const CAPACITY: usize = 64;

/// A head and the kernels that compute it.
pub(crate) struct Fused<'a> {
    pub head: &'a Head<'a>,
    pub kernels: Kernels,
    pub precision: Precision,
}

impl Fused<'_> {
    /// The log-probability of every target.
    pub fn log_probs(&self, stream: &Tensor) -> Result<Vec<LogProb>, BackendError> {
        let targets = &self.head.batch.targets;
        let graph = Graph::new(CAPACITY);
        let mut tape = Tape::new(&graph, self.head.lowering);
        let positions = targets.iter().map(|t| t.0);
        let rows = self.head.rows(&mut tape, graph.leaf(stream), positions);
        let op = Sums {
            kernels: self.kernels,
            shape: self.shape(targets.len()),
            weight: self.head.weights.weight.data,
            labels: targets.iter().map(|t| t.1).collect(),
        };
        let (shape, weight) = (op.shape, graph.leaf(&self.head.weights.weight.tensor));
        let ne = [shape.sums_len(), 1];
        let sources = [self.pack(&graph, rows), weight];
        let sums = graph.custom(sys::GGML_TYPE_F32, ne, &sources, op);
        graph.output(sums);
        self.head.backend.run(&graph)?;
        Ok(shape.log_probs(&buffer::read(sums)))
    }

    /// [`Head::backward`], piece by piece of the vocabulary.
    pub fn backward(
        &self,
        found: &[LogProb],
        dlog_probs: &[f64],
        stream: &Tensor,
        d_stream: &Tensor,
    ) -> Result<(), BackendError> {
        d_stream.zero();
        let targets = self.head.batch.targets.iter().zip(found).zip(dlog_probs);
        // Targets without a weight add nothing: CUT leaves out many.
        let targets = targets.filter(|&(_, &weight)| weight != 0.0);
        let (positions, gradients): (Vec<usize>, Vec<LogitGradient>) = targets
            .map(|((&(position, label), found), &weight)| {
                // d log p / d logits = onehot − softmax: the kernel's sign is the opposite.
                let weight = -weight as f32;
                (position, LogitGradient::new(label as usize, found.log_sum_exp, weight))
            })
            .unzip();
        if positions.is_empty() {
            return Ok(());
        }
        let n_pieces = self.pieces(positions.len()).count();
        let graph = Graph::new(CAPACITY + 2 * n_pieces);
        let mut tape = Tape::new(&graph, self.head.lowering);
        let rows = self.head.rows(&mut tape, graph.leaf(stream), positions.iter().copied());
        let d_normed = self.d_normed(&graph, rows, gradients);
        let gradients = tape.backward(rows.normed, d_normed);
        let d_rows = gradients.of(rows.stream).expect("the norm depends on the rows");
        graph.output(d_rows);
        self.head.backend.run(&graph)?;
        let values = buffer::read(d_rows);
        let n_embd = self.head.weights.weight.data.n_in;
        for (position, row) in positions.into_iter().zip(values.chunks_exact(n_embd)) {
            d_stream.write(position * n_embd, row);
        }
        Ok(())
    }

    fn shape(&self, n_tokens: usize) -> HeadShape {
        let Quantized { n_in, n_out, .. } = self.head.weights.weight.data;
        HeadShape { precision: self.precision, n_tokens, n_embd: n_in, n_vocab: n_out }
    }

    /// The parts of the vocabulary that the backward pass takes at a time.
    fn pieces(&self, n_tokens: usize) -> impl Iterator<Item = Range<usize>> {
        let shape = self.shape(n_tokens);
        let (piece, n_vocab) = (shape.chunk(), shape.n_vocab);
        (0..n_vocab).step_by(piece).map(move |first| first..(first + piece).min(n_vocab))
    }

    /// The normed rows for the products.
    fn pack<'g>(&self, graph: &'g Graph, rows: Rows<'g>) -> Node<'g> {
        let products = Products::new(graph, self.head.lowering);
        products.pack(rows.normed.node, self.kernels, self.precision).0
    }

    /// The gradient of the normed rows, piece by piece of the vocabulary.
    fn d_normed<'g>(
        &'g self,
        graph: &'g Graph,
        rows: Rows<'g>,
        gradients: Vec<LogitGradient>,
    ) -> Node<'g> {
        let shape = self.shape(gradients.len());
        let gradients: Rc<[LogitGradient]> = gradients.into();
        let weight = graph.leaf(&self.head.weights.weight.tensor);
        let packed = self.pack(graph, rows);
        let mut sum: Option<Node<'g>> = None;
        for piece in self.pieces(shape.n_tokens) {
            let op = Piece {
                kernels: self.kernels,
                shape,
                weight: self.head.weights.weight.data,
                piece: piece.clone(),
            };
            let bytes = shape.dlogits(piece.len()).bytes();
            let dlogits = DLogits { op: op.clone(), gradients: gradients.clone() };
            let sources = [packed, weight];
            let dlogits = graph.custom(sys::GGML_TYPE_I8, [bytes, 1], &sources, dlogits);
            let sources = [dlogits, weight];
            sum = Some(match sum {
                None => {
                    let ne = [shape.n_embd, shape.n_tokens];
                    graph.custom(sys::GGML_TYPE_F32, ne, &sources, DNormed { op, first: true })
                }
                Some(sum) => graph.custom_inplace(sum, &sources, DNormed { op, first: false }),
            });
        }
        sum.expect("a vocabulary has entries")
    }
}

/// Sums of exponentials of a part of the vocabulary, and the labels' logits.
struct Sums {
    kernels: Kernels,
    shape: HeadShape,
    weight: Quantized,
    labels: Vec<u32>,
}

impl CustomOp for Sums {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Sums { kernels, shape, weight, labels } = self;
        let rows = share(shape.n_vocab, VOCAB_PART, thread, n_threads);
        let unpack = |row: usize, out: &mut [f32]| weight.unpack(row, 0, out);
        // SAFETY: the first source was packed by a `Pack` node for the products with this weight,
        // `dst` has as many floats as the shape says; every thread takes its own rows.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let packed = (*dst.src[0]).data.cast_const().cast();
            let input = HeadInput { shape: *shape, packed, unpack: &unpack };
            kernels.head_sums(input, rows, labels, dst.data.cast(), scratch);
        });
    }
}

/// A piece of the vocabulary in the backward pass.
#[derive(Clone)]
struct Piece {
    kernels: Kernels,
    shape: HeadShape,
    weight: Quantized,
    piece: Range<usize>,
}

/// The packed gradient of a piece's logits.
struct DLogits {
    op: Piece,
    gradients: Rc<[LogitGradient]>,
}

impl CustomOp for DLogits {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Piece { kernels, shape, weight, piece } = &self.op;
        let rows = share(piece.len(), COLUMNS, thread, n_threads);
        let rows = piece.start + rows.start..piece.start + rows.end;
        let unpack = |row: usize, out: &mut [f32]| weight.unpack(row, 0, out);
        let (gradients, piece) = (&self.gradients, piece.clone());
        // SAFETY: the first source was packed by a `Pack` node for the products with this weight,
        // `dst` has the bytes of the piece; every thread takes its own rows.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let packed = (*dst.src[0]).data.cast_const().cast();
            let input = HeadInput { shape: *shape, packed, unpack: &unpack };
            kernels.head_dlogits(input, piece, rows, gradients, dst.data.cast(), scratch);
        });
    }
}

/// What a piece adds to the gradient of the normed rows.
struct DNormed {
    op: Piece,
    /// Whether there is nothing yet to add to; else the first source is what there is.
    first: bool,
}

impl CustomOp for DNormed {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let Piece { kernels, shape, weight, piece } = &self.op;
        let unit = COLUMNS.max(weight.block());
        let columns = share(shape.n_embd, unit, thread, n_threads);
        let unpack =
            |row: usize, k: usize, out: &mut [f32]| weight.unpack(piece.start + row, k, out);
        let out = Output { data: dst.data.cast(), stride: shape.n_embd, accumulate: !self.first };
        // SAFETY: the source is the piece's `DLogits` node; `dst` is a contiguous matrix of
        // `n_embd` columns, of which every thread writes its own.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let data = (*dst.src[usize::from(!self.first)]).data.cast_const().cast();
            let dlogits = Packed { shape: shape.dlogits(piece.len()), data };
            kernels.product_transposed(dlogits, &unpack, columns, out, scratch);
        });
    }
}
