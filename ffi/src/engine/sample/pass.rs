//! A pass over the new tokens of all sequences, and what follows each.

use cutq_kernels::Kernels;

use super::choice::Choice;
use super::sequence::Live;
use crate::engine::Engine;
use crate::engine::batch::Batch;
use crate::engine::constants::PassConstants;
use crate::engine::graphs::LayerRun;
use crate::error::EngineError;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::ops::head::Head;
use crate::ops::linear::Linear;
use crate::ops::lowering::Lowering;
use crate::ops::tape::{Saved, Tape, Var};

impl Engine {
    /// Reads what is new of each sequence; the logits of what follows, a row each.
    pub(super) fn read_on(&mut self, live: &mut [Live<'_>]) -> Result<Vec<f32>, EngineError> {
        let new = live.iter().map(|live| (&live.pages[..], &live.tokens[live.past..], live.past));
        let batch = Batch::continuing(new);
        let residual = self.read(&batch)?;
        live.iter_mut().for_each(|live| live.past = live.tokens.len());
        self.logits(&batch, &residual)
    }

    /// Reads a pack and keeps its keys and values; the residual behind the last layer.
    pub(super) fn read(&mut self, batch: &Batch) -> Result<Tensor, EngineError> {
        let mut residual = self.arena.tensors(&self.backend, &[self.residual_shape(batch); 2])?;
        self.embed(&batch.tokens, &residual[0]);
        let n_layer = self.architecture.n_layer;
        // The kernels, which alone keep keys and values, need none.
        let constants = Some(&PassConstants::default());
        for layer in 0..n_layer {
            let ends = [layer, layer + 1].map(|i| &residual[i % 2]);
            let at = LayerRun { layer, batch, dropout: None, constants, saved: None };
            self.run_layer(&at, ends)?;
        }
        Ok(residual.swap_remove(n_layer % 2))
    }

    /// The logits behind the last token of each sequence.
    fn logits(&self, batch: &Batch, residual: &Tensor) -> Result<Vec<f32>, EngineError> {
        let head = self.head(batch)?;
        let graph = Graph::new(CAPACITY);
        let last = batch.segments.iter().map(|segment| segment.start + segment.len - 1);
        let logits = add_logits(&*self.ops, &head, &graph, residual, last);
        graph.output(logits);
        self.backend.run(&graph)?;
        let logits = logits.read();
        self.weights.release_others();
        Ok(logits)
    }

    /// The next token of each sequence and its log-probability; threads divide the rows.
    pub(super) fn choose(
        &self,
        logits: &[f32],
        choice: &Choice,
        live: &[Live<'_>],
    ) -> Result<Vec<(u32, f64)>, EngineError> {
        let kernels = Kernels::detect()?;
        let rows: Vec<(&[f32], &Live<'_>)> =
            logits.chunks_exact(self.architecture.n_vocab).zip(live).collect();
        let choose = |&(row, live): &(&[f32], &Live<'_>)| {
            let token = choice.choose(row, live.answer(), live.request.seed);
            (token, kernels.log_prob(row, token as usize))
        };
        let share = rows.len().div_ceil(self.n_threads).max(1);
        Ok(std::thread::scope(|scope| {
            let parts = rows.chunks(share);
            let threads: Vec<_> = parts
                .map(|part| scope.spawn(|| part.iter().map(choose).collect::<Vec<_>>()))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
                thread.join().expect("choosing does not panic")
            };
            threads.into_iter().flat_map(join).collect()
        }))
    }
}

/// More than the tensors of the graph of the logits.
const CAPACITY: usize = 64;

/// The logits of the rows `positions` of the residual.
fn add_logits<'g>(
    ops: &'g dyn Lowering,
    head: &'g Head<'_>,
    graph: &'g Graph,
    residual: &'g Tensor,
    positions: impl Iterator<Item = usize>,
) -> Node<'g> {
    let mut tape = Tape::new(graph, Saved::Nothing);
    let norm =
        |tape: &mut Tape<'g>, x: Var<'g>, weight: Node<'g>, eps| ops.rms_norm(tape, x, weight, eps);
    let rows = head.rows(&mut tape, graph.leaf(residual), positions, norm);
    let linear = Linear { weight: &head.tensors.weight, lora: None, needed: false };
    ops.linear(&mut tape, rows.normed, linear).node
}
