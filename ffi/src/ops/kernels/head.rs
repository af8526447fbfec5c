//! The head: [`Lowering::log_probs`](crate::ops::lowering::Lowering) and its backward pass.
//!
//! Logits are never stored: see [`cutq_kernels::HeadShape`]. The backward pass is one graph with a
//! pair of nodes for each chunk of the vocabulary: threads divide the rows of the gradient of a
//! chunk's logits, then the columns of its way back through the weights.

use std::ops::Range;
use std::sync::Arc;

use cutq_kernels::{
    COLUMNS, HeadInput, HeadShape, Kernels, LogProb, LogitGradient, Output, Packed, VOCAB_PART,
    Work,
};

use super::ByKernels;
use super::rms_norm::rms_norm;
use crate::ggml::backend::BackendError;
use crate::ggml::graph::Graph;
use crate::ggml::graph::custom::{CustomOp, SCRATCH, source};
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::gguf::dequantize::Quantized;
use crate::ops::head::{Head, Rows};
use crate::ops::lowering::HeadGradient;
use crate::ops::tape::{Saved, Tape, Var};
use crate::sys;

/// More than the tensors of a graph besides those of the chunks of the vocabulary.
const CAPACITY: usize = 64;

pub(super) fn log_probs(
    by: ByKernels,
    head: &Head<'_>,
    residual: &Tensor,
) -> Result<Vec<LogProb>, BackendError> {
    let graph = Graph::new(CAPACITY);
    let mut tape = Tape::new(&graph, Saved::Nothing);
    let positions = head.targets.iter().map(|t| t.0);
    let rows = head.rows(&mut tape, graph.leaf(residual), positions, norm(by));
    let op = Sums {
        kernels: by.kernels,
        shape: shape(by, head, head.targets.len()),
        weight: head.tensors.weight.data,
        labels: head.targets.iter().map(|t| t.1).collect(),
    };
    let shape = op.shape;
    let (packed, _) = by.pack(&graph, rows.normed.node);
    let sources = [packed, graph.leaf(&head.tensors.weight.tensor)];
    let sums = graph.custom(sys::GGML_TYPE_F32, [shape.sums_len(), 1], &sources, op);
    graph.output(sums);
    head.backend.run(&graph)?;
    Ok(shape.log_probs(&sums.read()))
}

pub(super) fn backward(
    by: ByKernels,
    head: &Head<'_>,
    HeadGradient { log_probs, dlog_probs }: HeadGradient<'_>,
    residual: &Tensor,
    d_residual: &Tensor,
) -> Result<(), BackendError> {
    d_residual.zero();
    let targets = head.targets.iter().zip(log_probs).zip(dlog_probs);
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
    let n_chunks = chunks(shape(by, head, positions.len())).count();
    let graph = Graph::new(CAPACITY + 2 * n_chunks);
    let mut tape = Tape::new(&graph, Saved::Nothing);
    let position = positions.iter().copied();
    let rows = head.rows(&mut tape, graph.leaf(residual), position, norm(by));
    let d_normed = d_normed(by, head, &graph, rows, gradients);
    let gradients = tape.backward(rows.normed, d_normed);
    let d_rows = gradients.of(rows.residual).expect("the norm depends on the rows");
    graph.output(d_rows);
    head.backend.run(&graph)?;
    let (values, n_embd) = (d_rows.read(), head.n_embd());
    for (position, row) in positions.into_iter().zip(values.chunks_exact(n_embd)) {
        d_residual.write(position * n_embd, row);
    }
    Ok(())
}

fn norm<'g>(by: ByKernels) -> impl FnOnce(&mut Tape<'g>, Var<'g>, Node<'g>, f32) -> Var<'g> {
    move |tape, x, weight, eps| rms_norm(by.kernels, tape, x, weight, eps)
}

fn shape(by: ByKernels, head: &Head<'_>, n_tokens: usize) -> HeadShape {
    let (n_embd, n_vocab) = (head.n_embd(), head.n_vocab());
    HeadShape { precision: by.precision, n_tokens, n_embd, n_vocab }
}

/// The parts of the vocabulary that the backward pass takes at a time.
fn chunks(shape: HeadShape) -> impl Iterator<Item = Range<usize>> {
    let (chunk, n_vocab) = (shape.chunk(), shape.n_vocab);
    (0..n_vocab).step_by(chunk).map(move |first| first..(first + chunk).min(n_vocab))
}

/// The gradient of the normed rows, chunk by chunk of the vocabulary.
fn d_normed<'g>(
    by: ByKernels,
    head: &'g Head<'_>,
    graph: &'g Graph,
    rows: Rows<'g>,
    gradients: Vec<LogitGradient>,
) -> Node<'g> {
    let shape = shape(by, head, gradients.len());
    let gradients: Arc<[LogitGradient]> = gradients.into();
    let weight = graph.leaf(&head.tensors.weight.tensor);
    let (packed, _) = by.pack(graph, rows.normed.node);
    let mut sum: Option<Node<'g>> = None;
    for rows in chunks(shape) {
        let bytes = shape.dlogits(rows.len()).bytes();
        let op = Chunk { kernels: by.kernels, shape, weight: head.tensors.weight.data, rows };
        let dlogits = DLogits { op: op.clone(), gradients: gradients.clone() };
        let dlogits = graph.custom(sys::GGML_TYPE_I8, [bytes, 1], &[packed, weight], dlogits);
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

/// Sums of exponentials of a part of the vocabulary, and the labels' logits.
struct Sums {
    kernels: Kernels,
    shape: HeadShape,
    weight: Quantized,
    labels: Vec<u32>,
}

impl CustomOp for Sums {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Even { n: self.shape.n_vocab, unit: VOCAB_PART }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, rows: Range<usize>) {
        let Sums { kernels, shape, weight, labels } = self;
        // SAFETY: the first source was packed by a `Pack` node for the products with this weight,
        // `dst` has as many floats as the shape says; every part is of other rows.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = HeadInput { shape: *shape, packed: source(dst, 0), weights: weight };
            kernels.head_sums(input, rows, labels, dst.data.cast(), scratch);
        });
    }
}

/// A chunk of the vocabulary in the backward pass.
#[derive(Clone)]
struct Chunk {
    kernels: Kernels,
    shape: HeadShape,
    weight: Quantized,
    rows: Range<usize>,
}

/// The packed gradient of a chunk's logits.
struct DLogits {
    op: Chunk,
    gradients: Arc<[LogitGradient]>,
}

impl CustomOp for DLogits {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Even { n: self.op.rows.len(), unit: COLUMNS }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, part: Range<usize>) {
        let Chunk { kernels, shape, weight, rows: chunk } = &self.op;
        let rows = chunk.start + part.start..chunk.start + part.end;
        let (gradients, chunk) = (&self.gradients, chunk.clone());
        // SAFETY: the first source was packed by a `Pack` node for the products with this weight,
        // `dst` has the bytes of the chunk; every part is of other rows.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let input = HeadInput { shape: *shape, packed: source(dst, 0), weights: weight };
            kernels.head_dlogits(input, chunk, rows, gradients, dst.data.cast(), scratch);
        });
    }
}

/// What a chunk adds to the gradient of the normed rows.
struct DNormed {
    op: Chunk,
    /// Whether this is the first chunk; else the first source is the sum so far, and `dst` a view
    /// of it.
    first: bool,
}

impl CustomOp for DNormed {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        Work::Even { n: self.op.shape.n_embd, unit: COLUMNS.max(self.op.weight.block()) }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, columns: Range<usize>) {
        let Chunk { kernels, shape, weight, rows } = &self.op;
        let weights = weight.rows(rows.clone());
        let out = Output { data: dst.data.cast(), stride: shape.n_embd, accumulate: !self.first };
        // SAFETY: the source, behind the sum if there is one, is the chunk's `DLogits` node; `dst`
        // is a contiguous matrix of `n_embd` columns, of which every part is another.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            let data = source(dst, usize::from(!self.first));
            let dlogits = Packed { shape: shape.dlogits(rows.len()), data };
            kernels.product_transposed(dlogits, &weights, columns, out, scratch);
        });
    }
}
