//! The head: final norm, logits and log-softmax, at target positions only, a few rows at a time.

use std::rc::Rc;

use cutq_kernels::{Kernels, Precision};

use crate::backend::{Backend, BackendError};
use crate::batch::Batch;
use crate::buffer::{self, Tensor};
use crate::frozen::{Frozen, Products};
use crate::graph::{CustomOp, Graph, Node};
use crate::sys;
use crate::tape::{Tape, Var};
use crate::weights::Weights;

/// Bytes of logits that are held at a time.
const LOGITS_BYTES: usize = 128 << 20;

/// The head of a model, over the residual stream of a pack.
pub(crate) struct Head<'a> {
    pub backend: &'a Backend,
    pub kernels: Kernels,
    pub precision: Precision,
    pub weights: &'a Weights,
    pub rms_eps: f32,
    pub batch: &'a Batch,
    /// The residual stream after the last block, (n_embd, tokens).
    pub stream: &'a Tensor,
}

/// What the forward pass finds about one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TargetLogProb {
    /// Log-probability of the target, in nats.
    pub log_prob: f64,
    /// `ln Σ exp(logits)`, kept for the backward pass.
    log_sum_exp: f64,
}

impl Head<'_> {
    /// Targets handled at a time.
    fn chunk(&self) -> usize {
        (LOGITS_BYTES / (4 * self.weights.head.data.n_out)).clamp(32, 512)
    }

    /// The log-probability of every target.
    pub fn log_probs(&self) -> Result<Vec<TargetLogProb>, BackendError> {
        let mut all = Vec::with_capacity(self.batch.targets.len());
        for targets in self.batch.targets.chunks(self.chunk()) {
            let graph = Graph::new(32);
            let mut tape = Tape::new(&graph, self.kernels);
            let (_, logits) = self.logits(&graph, &mut tape, targets);
            let labels = targets.iter().map(|t| t.1).collect();
            let op = LogProbs { kernels: self.kernels, labels };
            let ne = [2, targets.len()];
            let found = graph.custom(sys::GGML_TYPE_F32, ne, &[logits.node], op);
            graph.output(found);
            self.backend.run(&graph)?;
            all.extend(buffer::read(found).chunks_exact(2).map(|pair| TargetLogProb {
                log_prob: f64::from(pair[0]),
                log_sum_exp: f64::from(pair[1]),
            }));
        }
        Ok(all)
    }

    /// Writes the loss's gradient for the residual stream to `d_stream`, given its gradient for
    /// every target's log-probability. The logits are computed again: keeping them would take more
    /// memory than the rest of the run.
    pub fn backward(
        &self,
        found: &[TargetLogProb],
        dlog_probs: &[f64],
        d_stream: &Tensor,
    ) -> Result<(), BackendError> {
        d_stream.zero();
        let chunk = self.chunk();
        let n_embd = self.weights.head.data.n_in;
        let found = found.chunks(chunk).zip(dlog_probs.chunks(chunk));
        for (targets, (found, weights)) in self.batch.targets.chunks(chunk).zip(found) {
            let graph = Graph::new(64);
            let mut tape = Tape::new(&graph, self.kernels);
            let (rows, logits) = self.logits(&graph, &mut tape, targets);
            let labels = targets.iter().zip(found).zip(weights);
            // d log p / d logits = onehot − softmax: the kernel's sign is the opposite.
            let labels = labels.map(|((t, f), &w)| (t.1, f.log_sum_exp, -w as f32)).collect();
            let op = DLogits { kernels: self.kernels, labels };
            let dlogits = graph.custom_inplace(logits.node, op);
            let gradients = tape.backward(logits, dlogits);
            let d_rows = gradients.of(rows).expect("the logits depend on the rows");
            graph.output(d_rows);
            self.backend.run(&graph)?;
            let values = buffer::read(d_rows);
            for (&(position, _), row) in targets.iter().zip(values.chunks_exact(n_embd)) {
                d_stream.write(position * n_embd, row);
            }
        }
        Ok(())
    }

    /// The rows of the residual stream that predict `targets`, and their logits.
    fn logits<'g>(
        &'g self,
        graph: &'g Graph,
        tape: &mut Tape<'g>,
        targets: &[(usize, u32)],
    ) -> (Var<'g>, Var<'g>) {
        let index: Vec<i32> = targets.iter().map(|t| t.0 as i32).collect();
        let index = graph.input([index.len(), 1], index);
        let rows = tape.parameter(graph.rows(graph.leaf(self.stream), index));
        let norm: Node<'g> = graph.leaf(&self.weights.output_norm);
        let normed = tape.rms_norm(rows, norm, self.rms_eps);
        let products: Rc<Products<'g>> = Products::new(graph, self.kernels, self.precision);
        let logits = tape.linear(normed, &Frozen::new(&self.weights.head, &products), None, true);
        (rows, logits)
    }
}

/// `[log p(label), ln Σ exp]` of every row of logits.
struct LogProbs {
    kernels: Kernels,
    labels: Vec<u32>,
}

impl CustomOp for LogProbs {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        for (t, &label) in self.labels.iter().enumerate().skip(thread).step_by(n_threads) {
            // SAFETY: the source holds one contiguous row of logits per label, `dst` two floats;
            // threads take different rows.
            unsafe {
                let logits = &*dst.src[0];
                let n_vocab = logits.ne[0] as usize;
                let row = logits.data.cast::<f32>().add(t * n_vocab);
                let row = std::slice::from_raw_parts(row, n_vocab);
                let log_sum_exp = self.kernels.log_sum_exp(row);
                let log_prob = f64::from(row[label as usize]) - log_sum_exp;
                let out = dst.data.cast::<f32>().add(2 * t);
                out.write(log_prob as f32);
                out.add(1).write(log_sum_exp as f32);
            }
        }
    }
}

/// Turns rows of logits into the loss's gradient for them.
struct DLogits {
    kernels: Kernels,
    /// Label, `ln Σ exp`, weight.
    labels: Vec<(u32, f64, f32)>,
}

impl CustomOp for DLogits {
    unsafe fn run(&self, dst: &sys::ggml_tensor, thread: usize, n_threads: usize) {
        let rows = self.labels.iter().enumerate().skip(thread).step_by(n_threads);
        for (t, &(label, log_sum_exp, weight)) in rows {
            // SAFETY: `dst` is the logits themselves, one contiguous row per label; threads take
            // different rows.
            unsafe {
                let n_vocab = dst.ne[0] as usize;
                let row = dst.data.cast::<f32>().add(t * n_vocab);
                let row = std::slice::from_raw_parts_mut(row, n_vocab);
                self.kernels.log_prob_backward(row, log_sum_exp, label as usize, weight);
            }
        }
    }
}
