//! What a training step asks of the device that computes it, found out without running one.

use super::Engine;
use super::batch::Batch;
use super::graphs::LayerRun;
use crate::error::EngineError;
use crate::ggml::arena::Arena;
use crate::ggml::graph::Graph;
use crate::ggml::operation::Operation;

impl Engine {
    /// Every operation of a training step over `n_tokens` tokens in sequences of `longest`: each
    /// layer forward and backward, with and without saved products, and the head, both ways. Empty
    /// where the CPU's kernels compute, which ask no device.
    ///
    /// # Errors
    /// If there is no memory for a layer's checkpoints and what it saves.
    pub fn operations(
        &self,
        n_tokens: usize,
        longest: usize,
    ) -> Result<Vec<Operation>, EngineError> {
        if !self.copied {
            return Ok(Vec::new());
        }
        let batch = Batch::of_shape(n_tokens, longest);
        let mut all = Vec::new();
        let dropout = self.pass_dropout(0);
        for (layer, tensors) in self.weights.file().layers.iter().enumerate() {
            let mut shapes = vec![self.residual_shape(&batch); 3];
            shapes.extend(self.saved_shapes(layer, &batch));
            let memory = Arena::default().tensors(&self.backend, &shapes)?;
            let ([x, y, dy], own) = (&memory[..3], &memory[3..]) else { unreachable!() };
            for saved in [None, Some(own)] {
                let at = LayerRun { layer, batch: &batch, dropout, constants: None, saved };
                let graph = self.layer_graph(tensors, &batch);
                self.add_forward(&graph, &at, tensors, [x, y]);
                all.extend(graph.operations());
                let graph = self.layer_graph(tensors, &batch);
                self.add_backward(&graph, &at, tensors, [x, dy]);
                all.extend(graph.operations());
            }
        }
        let graphs = self.ops.head_graphs(&self.planned_head(&batch));
        all.extend(graphs.iter().flat_map(Graph::operations));
        Ok(all)
    }
}
