//! What a training step asks of the device that computes it, found out without running one.

use super::passes::Place;
use super::{Engine, EngineError};
use crate::engine::batch::Batch;
use crate::ggml::buffer::Arena;
use crate::ggml::operation::Operation;
use crate::ops::lowering::Lowering;

impl Engine {
    /// Every operation of a training step over `n_tokens` tokens in sequences of `longest`: each
    /// block forward and backward, with and without kept products, and the head, both ways. Empty
    /// where the CPU's kernels compute, which ask no device.
    ///
    /// # Errors
    /// If there is no memory for a block's checkpoints and what it keeps.
    pub fn operations(
        &self,
        n_tokens: usize,
        longest: usize,
    ) -> Result<Vec<Operation>, EngineError> {
        if let Lowering::Kernels { .. } = self.lowering {
            return Ok(Vec::new());
        }
        let batch = Batch::of_shape(n_tokens, longest);
        let mut all = Vec::new();
        for layer in 0..self.architecture.n_layer {
            let mut shapes = vec![[self.architecture.n_embd, n_tokens]; 3];
            shapes.extend(self.keepable(layer, &batch));
            let tensors = Arena::default().tensors(&self.backend, &shapes)?;
            let ([x, y, dy], own) = (&tensors[..3], &tensors[3..]) else { unreachable!() };
            let weights = self.weights.mapped_layer(layer);
            for kept in [None, Some(own)] {
                let at = Place { layer, batch: &batch, seed: Some(0), kept };
                let graph = self.block_graph(weights, &batch);
                self.add_forward(&graph, &at, weights, [x, y]);
                all.extend(graph.operations());
                let graph = self.block_graph(weights, &batch);
                self.add_backward(&graph, &at, weights, [x, dy]);
                all.extend(graph.operations());
            }
        }
        all.extend(self.head_with(self.weights.mapped_head().clone(), &batch).operations());
        Ok(all)
    }
}
