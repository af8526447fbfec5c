//! The passes of a model over a pack: layer after layer forward, and backward from the checkpoints.

use std::rc::Rc;
use std::time::Instant;

use cutq_kernels::{LogProb, Weights};

use super::Engine;
use super::batch::Batch;
use super::constants::{PassConstants, PassDropout};
use super::graphs::LayerRun;
use crate::error::EngineError;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::model::architecture::Architecture;
use crate::model::layer::HeadTensors;
use crate::ops::head::Head;
use crate::residency::retention::PanelUse;

/// What a training forward pass leaves for the backward pass.
pub(super) struct Pending {
    pub batch: Batch,
    /// The residual before each layer, and behind the last: the checkpoints.
    pub residual: Vec<Tensor>,
    /// Its gradient.
    pub d_residual: Tensor,
    /// What the last layers saved.
    pub saved: Vec<Vec<Tensor>>,
    pub targets: Vec<LogProb>,
    pub dropout: Option<PassDropout>,
    pub constants: PassConstants,
}

impl Engine {
    /// Rows of the embedding, dequantized on the host and written to the first checkpoint.
    pub(super) fn embed(&self, tokens: &[u32], residual: &Tensor) {
        let (embedding, n_embd) = (&self.weights.file().embedding, self.architecture.n_embd);
        let mut rows = vec![0.0; tokens.len() * n_embd];
        for (&token, row) in tokens.iter().zip(rows.chunks_exact_mut(n_embd)) {
            embedding.unpack(token as usize, 0, row);
            row.iter_mut().for_each(|x| *x *= self.architecture.embedding_scale);
        }
        residual.write(0, &rows);
        self.weights.release_others();
    }

    /// Makes the panels of the layers that are to retain them, unless they are there.
    pub(super) fn make_panels(&mut self, purpose: PanelUse) -> Result<(), EngineError> {
        let n_layer = self.architecture.n_layer;
        let layers: Vec<usize> = (n_layer - self.retention.panels..n_layer).collect();
        Ok(self.weights.set_panels(&self.backend, &layers, purpose)?)
    }

    /// A forward pass that leaves nothing.
    pub(super) fn log_probs(&mut self, batch: &Batch) -> Result<Vec<f64>, EngineError> {
        let started = Instant::now();
        let mut shapes = vec![self.residual_shape(batch); 2];
        shapes.extend(self.constant_shapes(batch, None));
        let mut residual = self.arena.tensors(&self.backend, &shapes)?;
        let constants = self.constants(batch, None, residual.split_off(2));
        self.embed(&batch.tokens, &residual[0]);
        let n_layer = self.architecture.n_layer;
        for layer in 0..n_layer {
            let ends = [layer, layer + 1].map(|i| &residual[i % 2]);
            let constants = Some(&constants);
            let at = LayerRun { layer, batch, dropout: None, constants, saved: None };
            self.run_layer(&at, ends)?;
        }
        self.timings.forward += started.elapsed();
        let targets = self.read_targets(batch, &residual[n_layer % 2])?;
        Ok(targets.iter().map(|t| t.log_prob).collect())
    }

    /// A forward pass that leaves what the backward pass needs.
    pub(super) fn forward_saving(
        &mut self,
        batch: Batch,
        seed: u64,
    ) -> Result<Pending, EngineError> {
        let n_layer = self.architecture.n_layer;
        let started = Instant::now();
        let dropout = self.pass_dropout(seed);
        let shapes = self.pass_shapes(&batch, dropout);
        let mut tensors = self.arena.tensors(&self.backend, &shapes.concat())?.into_iter();
        let mut take = |shapes: &Vec<_>| tensors.by_ref().take(shapes.len()).collect();
        let mut residual: Vec<Tensor> = take(&shapes[0]);
        let d_residual = residual.pop().expect("the last of the residual's tensors");
        let constants = self.constants(&batch, dropout, take(&shapes[1]));
        let saved: Vec<Vec<Tensor>> = shapes[2..].iter().map(take).collect();
        self.embed(&batch.tokens, &residual[0]);
        for layer in 0..n_layer {
            let ends = [&residual[layer], &residual[layer + 1]];
            let saved = layer.checked_sub(n_layer - saved.len()).map(|i| saved[i].as_slice());
            let constants = Some(&constants);
            self.run_layer(&LayerRun { layer, batch: &batch, dropout, constants, saved }, ends)?;
        }
        self.timings.forward += started.elapsed();
        let targets = self.read_targets(&batch, &residual[n_layer])?;
        Ok(Pending { batch, residual, d_residual, saved, targets, dropout, constants })
    }

    /// The head of a forward pass.
    fn read_targets(
        &mut self,
        batch: &Batch,
        residual: &Tensor,
    ) -> Result<Vec<LogProb>, EngineError> {
        let started = Instant::now();
        let targets = self.ops.log_probs(&self.head(batch)?, residual)?;
        self.weights.release_others();
        self.timings.head += started.elapsed();
        Ok(targets)
    }

    /// Runs a layer from the residual before it to the one behind it.
    pub(super) fn run_layer(
        &self,
        at: &LayerRun<'_>,
        ends: [&Tensor; 2],
    ) -> Result<(), EngineError> {
        let layer = self.weights.layer(&self.backend, at.layer)?;
        let graph = self.layer_graph(&layer, at.batch);
        self.add_forward(&graph, at, &layer, ends);
        let next = at.layer + 1;
        if next < self.architecture.n_layer {
            self.weights.prefetch(&self.backend, next)?;
        }
        self.backend.run(&graph)?;
        self.weights.release(at.layer);
        Ok(())
    }

    /// Shows `each` the gradients of A and B of a layer's adapters, with the pair's index; turns the
    /// gradient for the layer's output, in `d_residual`, into the one for its input, if a layer below
    /// needs it.
    pub(super) fn run_layer_backward(
        &self,
        at: &LayerRun<'_>,
        before: &Tensor,
        d_residual: &Tensor,
        mut each: impl FnMut(usize, [Node<'_>; 2]),
    ) -> Result<(), EngineError> {
        let layer = self.weights.layer(&self.backend, at.layer)?;
        let graph = self.layer_graph(&layer, at.batch);
        let of_pairs = self.add_backward(&graph, at, &layer, [before, d_residual]);
        if at.layer > self.lowest() {
            self.weights.prefetch(&self.backend, at.layer - 1)?;
        }
        self.backend.run(&graph)?;
        self.weights.release(at.layer);
        self.pairs_of(at.layer).zip(of_pairs).for_each(|((pair, _), nodes)| each(pair, nodes));
        Ok(())
    }

    /// Shapes of what outlives a layer in a training pass: the residual; the constants; then, for each
    /// layer that retains its products, what it saves.
    fn pass_shapes(&self, batch: &Batch, dropout: Option<PassDropout>) -> Vec<Vec<[usize; 2]>> {
        let n_layer = self.architecture.n_layer;
        let residual = self.checkpoint_shapes(batch);
        let saving = n_layer - self.retention.products..n_layer;
        let saved = saving.map(|layer| self.saved_shapes(layer, batch));
        [residual, self.constant_shapes(batch, dropout)].into_iter().chain(saved).collect()
    }

    /// Shapes of the residual before each layer, behind the last, and of its gradient.
    pub(super) fn checkpoint_shapes(&self, batch: &Batch) -> Vec<[usize; 2]> {
        vec![self.residual_shape(batch); self.architecture.n_layer + 2]
    }

    /// The head, to compute with.
    pub(super) fn head<'a>(&'a self, batch: &'a Batch) -> Result<Head<'a>, EngineError> {
        Ok(self.head_with(self.weights.head(&self.backend)?, batch))
    }

    /// The head, to plan with.
    pub(super) fn planned_head<'a>(&'a self, batch: &'a Batch) -> Head<'a> {
        self.head_with(self.weights.file().head.clone(), batch)
    }

    fn head_with<'a>(&'a self, tensors: Rc<HeadTensors>, batch: &'a Batch) -> Head<'a> {
        let Architecture { rms_eps, logit_scale, .. } = self.architecture;
        let backend = &self.backend;
        let (n_tokens, targets) = (batch.tokens.len(), &batch.targets);
        Head { backend, tensors, rms_eps, logit_scale, n_tokens, targets }
    }
}
