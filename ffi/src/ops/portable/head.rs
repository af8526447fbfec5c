//! The head composed of portable operations, some targets at a time.
//!
//! No backend needs more than the logits of a few rows. There is no portable maximum, so ln Σ exp
//! comes from the softmax of the label, whose own maximum is the backend's; where the label's
//! probability is too small for F32, its row of logits is read and summed up on the host.

use cutq_kernels::LogProb;

use crate::engine::batch::Batch;
use crate::ggml::backend::BackendError;
use crate::ggml::buffer::{self, Tensor};
use crate::ggml::graph::{Graph, Node};
use crate::ggml::operation::Operation;
use crate::ops::head::{Head, Rows};
use crate::ops::kernels::product::{Frozen, Products};
use crate::ops::portable::product;
use crate::ops::tape::Tape;

/// Bytes of logits that are held at a time.
const LOGITS_BYTES: usize = 64 << 20;

/// Below this probability a label's softmax is no longer trusted: F32 ends near 1e-38.
const SMALLEST: f32 = 1e-30;

/// Nodes of a graph besides those of the products, at most.
const CAPACITY: usize = 64;

/// A target that has a weight in the loss: where it is predicted, the token, the weight.
type Weighted = (usize, u32, f32);

/// What a graph finds out about some targets, a row or an entry for each.
struct Found<'g> {
    /// Probabilities of the labels.
    p: Node<'g>,
    /// Their logits.
    of_labels: Node<'g>,
    logits: Node<'g>,
}

impl Head<'_> {
    pub(crate) fn composed_log_probs(&self, stream: &Tensor) -> Result<Vec<LogProb>, BackendError> {
        let mut all = Vec::with_capacity(self.batch.targets.len());
        for targets in self.batch.targets.chunks(self.chunk()) {
            let graph = self.graph();
            let Found { p, of_labels, logits } = self.find(&graph, graph.leaf(stream), targets);
            self.backend.run(&graph)?;
            let pairs = buffer::read(p).into_iter().zip(buffer::read(of_labels));
            all.extend(pairs.enumerate().map(|(t, (p, logit))| {
                let log_prob = match p >= SMALLEST {
                    true => f64::from(p).ln().min(0.0),
                    false => f64::from(logit) - log_sum_exp(&buffer::read_row(logits, t)),
                };
                LogProb { log_prob, log_sum_exp: f64::from(logit) - log_prob }
            }));
        }
        Ok(all)
    }

    pub(crate) fn composed_backward(
        &self,
        dlog_probs: &[f64],
        stream: &Tensor,
        d_stream: &Tensor,
    ) -> Result<(), BackendError> {
        let n_embd = self.weights.weight.data.n_in;
        let mut values = vec![0.0; d_stream.len()];
        let targets = self.batch.targets.iter().zip(dlog_probs);
        // Targets without a weight add nothing: CUT leaves out many.
        let targets = targets.filter(|&(_, &weight)| weight != 0.0);
        let targets: Vec<Weighted> =
            targets.map(|(&(p, t), &weight)| (p, t, weight as f32)).collect();
        for targets in targets.chunks(self.chunk()) {
            let graph = self.graph();
            let d_rows = self.d_rows(&graph, graph.leaf(stream), targets);
            self.backend.run(&graph)?;
            let d_rows = buffer::read(d_rows);
            for (&(position, ..), row) in targets.iter().zip(d_rows.chunks_exact(n_embd)) {
                values[position * n_embd..][..n_embd].copy_from_slice(row);
            }
        }
        d_stream.write(0, &values);
        Ok(())
    }

    /// Bytes of the intermediate tensors of the larger of both graphs, if every token is a target.
    pub fn composed_bytes(&self) -> usize {
        let Batch { tokens, .. } = self.batch;
        let n = tokens.len().min(self.chunk());
        let shape = [self.weights.weight.data.n_in, tokens.len()];
        let graphs = [self.graph(), self.graph()];
        let [stream, same] = graphs.each_ref().map(|graph| graph.placeholder(shape));
        self.find(&graphs[0], stream, &vec![(0, 0); n]);
        self.d_rows(&graphs[1], same, &vec![(0, 0, 1.0); n]);
        let bytes = graphs.each_ref().map(|graph| self.backend.graph_bytes(graph));
        bytes[0].max(bytes[1])
    }

    /// What both passes compute.
    pub(crate) fn composed_operations(&self) -> Vec<Operation> {
        let shape = [self.weights.weight.data.n_in, self.batch.tokens.len()];
        let mut all = Vec::new();
        for targets in self.batch.targets.chunks(self.chunk()) {
            let graphs = [self.graph(), self.graph()];
            let [stream, same] = graphs.each_ref().map(|graph| graph.placeholder(shape));
            let weighted: Vec<_> = targets.iter().map(|&(p, t)| (p, t, 1.0)).collect();
            self.find(&graphs[0], stream, targets);
            self.d_rows(&graphs[1], same, &weighted);
            all.extend(graphs.iter().flat_map(Graph::operations));
        }
        all
    }

    fn find<'g>(
        &'g self,
        graph: &'g Graph,
        stream: Node<'g>,
        targets: &[(usize, u32)],
    ) -> Found<'g> {
        let mut tape = Tape::new(graph, self.lowering);
        let rows = self.rows(&mut tape, stream, targets.iter().map(|t| t.0));
        let logits = self.frozen(graph).product(graph, rows.normed.node, None);
        let n_vocab = self.weights.weight.data.n_out;
        let labels = targets.iter().enumerate().map(|(t, target)| t * n_vocab + target.1 as usize);
        let labels = graph.input([targets.len(), 1], labels.map(|i| i as i32).collect());
        let of_labels = |x| graph.rows(graph.reshape(x, [1, n_vocab * targets.len(), 1]), labels);
        let found = Found {
            p: of_labels(graph.soft_max(logits, None, 1.0)),
            of_labels: of_labels(logits),
            logits,
        };
        [found.p, found.of_labels, logits].into_iter().for_each(|node| graph.output(node));
        found
    }

    /// The gradient of the rows of the residual stream that predict `targets`: with `d` the gradient
    /// of a target's log-probability, `d · W[label] − Wᵀ (d · p)` behind the norm.
    fn d_rows<'g>(&'g self, graph: &'g Graph, stream: Node<'g>, targets: &[Weighted]) -> Node<'g> {
        let mut tape = Tape::new(graph, self.lowering);
        let Rows { stream, normed } = self.rows(&mut tape, stream, targets.iter().map(|t| t.0));
        let head = self.frozen(graph);
        let logits = head.product(graph, normed.node, None);
        let n = targets.len();
        let labels = graph.input([n, 1], targets.iter().map(|t| t.1 as i32).collect());
        let weights = graph.input([1, n], targets.iter().map(|t| t.2).collect());
        let of_labels = graph.rows(graph.leaf(&self.weights.weight.tensor), labels);
        let d_logits = graph.mul(graph.soft_max(logits, None, 1.0), weights);
        let of_all = head.product_transposed(graph, d_logits, None);
        let d_normed = graph.sub(graph.mul(of_labels, weights), of_all);
        let gradients = tape.backward(normed, d_normed);
        let d_rows = gradients.of(stream).expect("the norm depends on the rows");
        graph.output(d_rows);
        d_rows
    }

    /// Targets handled at a time.
    fn chunk(&self) -> usize {
        (LOGITS_BYTES / (4 * self.weights.weight.data.n_out)).clamp(32, 512)
    }

    fn graph(&self) -> Graph {
        Graph::new(CAPACITY + product::capacity(&self.weights.weight.data))
    }

    fn frozen<'g>(&'g self, graph: &'g Graph) -> Frozen<'g> {
        Frozen::new(&self.weights.weight, &Products::new(graph, self.lowering))
    }
}

/// `ln Σ exp`, summed in f64 after subtracting the maximum.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    f64::from(max) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_do_not_overflow() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - 1000.0 - 2f64.ln()).abs() < 1e-12);
        assert!((log_sum_exp(&[-1000.0, 0.0]) - 0.0).abs() < 1e-12);
    }
}
