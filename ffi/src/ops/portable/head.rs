//! The head: [`Lowering::log_probs`](crate::ops::lowering::Lowering) and its backward pass, some
//! targets at a time.
//!
//! No backend needs more than the logits of a few rows. There is no portable maximum, so ln Σ exp
//! comes from the softmax of the label, whose own maximum is the backend's; where the label's
//! probability is too small for F32, its row of logits is read and summed up on the host.

use cutq_core::log_space::log_sum_exp;
use cutq_kernels::LogProb;

use super::rms_norm::rms_norm;
use super::{Portable, product};
use crate::ggml::backend::BackendError;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::ops::head::{Head, Rows};
use crate::ops::tape::{Saved, Tape};

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

pub(super) fn log_probs(
    by: Portable,
    head: &Head<'_>,
    residual: &Tensor,
) -> Result<Vec<LogProb>, BackendError> {
    let mut all = Vec::with_capacity(head.targets.len());
    for targets in head.targets.chunks(chunk(head)) {
        let graph = new_graph(head);
        let Found { p, of_labels, logits } = find(by, head, &graph, graph.leaf(residual), targets);
        head.backend.run(&graph)?;
        let pairs = p.read().into_iter().zip(of_labels.read());
        all.extend(pairs.enumerate().map(|(t, (p, logit))| {
            let log_prob = match p >= SMALLEST {
                true => f64::from(p).ln().min(0.0),
                false => f64::from(logit) - log_sum_exp(&logits.read_row(t)),
            };
            LogProb { log_prob, log_sum_exp: f64::from(logit) - log_prob }
        }));
    }
    Ok(all)
}

pub(super) fn backward(
    by: Portable,
    head: &Head<'_>,
    dlog_probs: &[f64],
    residual: &Tensor,
    d_residual: &Tensor,
) -> Result<(), BackendError> {
    let n_embd = head.n_embd();
    let mut values = vec![0.0; d_residual.len()];
    let targets = head.targets.iter().zip(dlog_probs);
    // Targets without a weight add nothing: CUT leaves out many.
    let targets = targets.filter(|&(_, &weight)| weight != 0.0);
    let targets: Vec<Weighted> = targets.map(|(&(p, t), &weight)| (p, t, weight as f32)).collect();
    for targets in targets.chunks(chunk(head)) {
        let graph = new_graph(head);
        let d_rows = d_rows(by, head, &graph, graph.leaf(residual), targets);
        head.backend.run(&graph)?;
        let d_rows = d_rows.read();
        for (&(position, ..), row) in targets.iter().zip(d_rows.chunks_exact(n_embd)) {
            values[position * n_embd..][..n_embd].copy_from_slice(row);
        }
    }
    d_residual.write(0, &values);
    Ok(())
}

/// The graphs of both passes, to be measured and asked for what they compute. Those of equally many
/// targets are alike, so there is one pair for a full chunk and one for the rest.
pub(super) fn graphs(by: Portable, head: &Head<'_>) -> Vec<Graph> {
    let shape = [head.n_embd(), head.n_tokens];
    let pair = |targets: &[(usize, u32)]| {
        let graphs = [new_graph(head), new_graph(head)];
        let [residual, same] = graphs.each_ref().map(|graph| graph.placeholder(shape));
        let weighted: Vec<_> = targets.iter().map(|&(p, t)| (p, t, 1.0)).collect();
        find(by, head, &graphs[0], residual, targets);
        d_rows(by, head, &graphs[1], same, &weighted);
        graphs
    };
    let mut chunks: Vec<_> = head.targets.chunks(chunk(head)).collect();
    chunks.dedup_by_key(|targets| targets.len());
    chunks.into_iter().flat_map(pair).collect()
}

fn find<'g>(
    by: Portable,
    head: &'g Head<'_>,
    graph: &'g Graph,
    residual: Node<'g>,
    targets: &[(usize, u32)],
) -> Found<'g> {
    let mut tape = Tape::new(graph, Saved::Nothing);
    let rows = head.rows(&mut tape, residual, targets.iter().map(|t| t.0), rms_norm);
    let logits = by.product(graph, &head.tensors.weight, rows.normed.node);
    let n_vocab = head.n_vocab();
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

/// The gradient of the rows of the residual that predict `targets`: with `d` the gradient of a
/// target's log-probability, `d · W[label] − Wᵀ (d · p)` behind the norm.
fn d_rows<'g>(
    by: Portable,
    head: &'g Head<'_>,
    graph: &'g Graph,
    residual: Node<'g>,
    targets: &[Weighted],
) -> Node<'g> {
    let weight = &head.tensors.weight;
    let mut tape = Tape::new(graph, Saved::Nothing);
    let positions = targets.iter().map(|t| t.0);
    let Rows { residual, normed } = head.rows(&mut tape, residual, positions, rms_norm);
    let logits = by.product(graph, weight, normed.node);
    let n = targets.len();
    let labels = graph.input([n, 1], targets.iter().map(|t| t.1 as i32).collect());
    let weights = graph.input([1, n], targets.iter().map(|t| t.2).collect());
    let of_labels = graph.rows(graph.leaf(&weight.tensor), labels);
    let d_logits = graph.mul(graph.soft_max(logits, None, 1.0), weights);
    let of_all = by.product_transposed(graph, weight, d_logits);
    let d_normed = graph.sub(graph.mul(of_labels, weights), of_all);
    let gradients = tape.backward(normed, d_normed);
    let d_rows = gradients.of(residual).expect("the norm depends on the rows");
    graph.output(d_rows);
    d_rows
}

/// Targets handled at a time.
fn chunk(head: &Head<'_>) -> usize {
    (LOGITS_BYTES / (4 * head.n_vocab())).clamp(32, 512)
}

fn new_graph(head: &Head<'_>) -> Graph {
    Graph::new(CAPACITY + product::capacity(&head.tensors.weight.data))
}
