//! Graphs of one layer, forward and backward.

use super::Engine;
use super::batch::Batch;
use super::constants::{PassConstants, PassDropout};
use super::layer::LayerPass;
use crate::adapter::LoraPair;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::rope::Rotation;
use crate::ggml::tensor::Tensor;
use crate::model::layer::Layer;
use crate::ops::attention::{Attention, Kept};
use crate::ops::linear::Lora;
use crate::ops::portable::layer_capacity;
use crate::ops::tape::{Saved, Tape, Var};

/// One layer in one pass.
pub(super) struct LayerRun<'a> {
    pub layer: usize,
    pub batch: &'a Batch,
    /// What it drops, if it does.
    pub dropout: Option<PassDropout>,
    /// What all layers read; none to plan with.
    pub constants: Option<&'a PassConstants>,
    /// What the layer saves, or saved.
    pub saved: Option<&'a [Tensor]>,
}

/// The nodes that a layer's backward pass ends in.
pub(super) struct LayerGradients<'g> {
    /// Of the layer's adapters: A and B of each.
    pub pairs: Vec<[Node<'g>; 2]>,
    /// Of the residual before the layer, if a layer below needs it.
    pub residual: Option<Node<'g>>,
}

impl Engine {
    /// A graph with room for a layer, forward and backward.
    pub(super) fn layer_graph(&self, layer: &Layer, batch: &Batch) -> Graph {
        Graph::new(layer_capacity(layer, &batch.segments))
    }

    /// Adds a layer to a graph that was made for it, from the residual before it to that behind it.
    pub(super) fn add_forward<'g>(
        &'g self,
        graph: &'g Graph,
        at: &LayerRun<'g>,
        layer: &'g Layer,
        [before, behind]: [&'g Tensor; 2],
    ) {
        let mut tape = Tape::new(graph, at.saved.map_or(Saved::Nothing, Saved::Into));
        let pass = self.layer_pass(graph, &mut tape, at, layer);
        let x = tape.constant(graph.leaf(before));
        let y = pass.forward(&mut tape, x);
        graph.store(y.node, behind);
    }

    /// Adds a layer's forward and backward pass to a graph that was made for them; returns the
    /// gradients of its adapters. Turns the gradient behind the layer, in `d_residual`, into the
    /// one before it, if a layer below needs it.
    pub(super) fn add_backward<'g>(
        &'g self,
        graph: &'g Graph,
        at: &LayerRun<'g>,
        layer: &'g Layer,
        [before, d_residual]: [&'g Tensor; 2],
    ) -> Vec<[Node<'g>; 2]> {
        let mut tape = Tape::new(graph, at.saved.map_or(Saved::Nothing, Saved::In));
        let ends = [graph.leaf(before), graph.leaf(d_residual)];
        let LayerGradients { pairs, residual } = self.gradients(graph, &mut tape, at, layer, ends);
        if let Some(residual) = residual {
            // Last, since it overwrites what the others read.
            graph.store(residual, d_residual);
        }
        pairs
    }

    /// Bytes of the intermediate tensors of a layer's backward pass, which has more of them than
    /// any other graph.
    pub(super) fn layer_bytes(&self, layer: usize, batch: &Batch) -> usize {
        let tensors = &self.weights.file().layers[layer];
        let graph = self.layer_graph(tensors, batch);
        let mut tape = Tape::new(&graph, Saved::Nothing);
        let at =
            LayerRun { layer, batch, dropout: self.pass_dropout(0), constants: None, saved: None };
        let ends = [(); 2].map(|()| graph.placeholder(self.residual_shape(batch)));
        let gradients = self.gradients(&graph, &mut tape, &at, tensors, ends);
        gradients.residual.into_iter().for_each(|node| graph.output(node));
        self.backend.graph_bytes(&graph)
    }

    /// Bytes of the intermediate tensors of a layer's forward pass.
    pub(super) fn forward_bytes(&self, layer: usize, batch: &Batch) -> usize {
        let tensors = &self.weights.file().layers[layer];
        let graph = self.layer_graph(tensors, batch);
        let mut tape = Tape::new(&graph, Saved::Nothing);
        let at = LayerRun { layer, batch, dropout: None, constants: None, saved: None };
        let x = tape.constant(graph.placeholder(self.residual_shape(batch)));
        let y = self.layer_pass(&graph, &mut tape, &at, tensors).forward(&mut tape, x);
        graph.output(y.node);
        self.backend.graph_bytes(&graph)
    }

    /// Shapes of what layer `layer` can save.
    pub(super) fn saved_shapes(&self, layer: usize, batch: &Batch) -> Vec<[usize; 2]> {
        let tensors = &self.weights.file().layers[layer];
        let graph = self.layer_graph(tensors, batch);
        let mut tape = Tape::new(&graph, Saved::Nothing);
        let x = tape.constant(graph.placeholder(self.residual_shape(batch)));
        let at = LayerRun { layer, batch, dropout: None, constants: None, saved: None };
        self.layer_pass(&graph, &mut tape, &at, tensors).forward(&mut tape, x);
        tape.saved_shapes().to_vec()
    }

    /// The shape of the residual.
    pub(super) fn residual_shape(&self, batch: &Batch) -> [usize; 2] {
        [self.architecture.n_embd, batch.tokens.len()]
    }

    /// The lowest layer with an adapter, below which the backward pass does not go.
    pub(super) fn lowest(&self) -> usize {
        let layers = self.adapter.pairs.iter().map(|pair| pair.layer);
        layers.min().unwrap_or(self.architecture.n_layer)
    }

    /// The adapters of a layer, with their indices.
    pub(super) fn pairs_of(&self, layer: usize) -> impl Iterator<Item = (usize, &LoraPair)> {
        self.adapter.pairs.iter().enumerate().filter(move |(_, pair)| pair.layer == layer)
    }

    /// Adds a layer's forward and backward pass to a graph, given the residual before it and the
    /// gradient behind it.
    fn gradients<'g>(
        &'g self,
        graph: &'g Graph,
        tape: &mut Tape<'g>,
        at: &LayerRun<'g>,
        layer: &'g Layer,
        [x, dy]: [Node<'g>; 2],
    ) -> LayerGradients<'g> {
        let pass = self.layer_pass(graph, tape, at, layer);
        let below = self.lowest() < at.layer;
        let x: Var<'_> = if below { tape.parameter(x) } else { tape.constant(x) };
        let y = pass.forward(tape, x);
        let gradients = tape.backward(y, dy);
        let of = |var| gradients.of(var).expect("the layer depends on it");
        let pairs = pass.loras.iter().map(|(_, lora)| [of(lora.a), of(lora.b)]);
        let pairs: Vec<[Node<'_>; 2]> = pairs.collect();
        pairs.iter().flatten().for_each(|&node| graph.output(node));
        LayerGradients { pairs, residual: below.then(|| of(x)) }
    }

    fn layer_pass<'g>(
        &'g self,
        graph: &'g Graph,
        tape: &mut Tape<'g>,
        &LayerRun { layer: n, batch, dropout, constants, .. }: &LayerRun<'g>,
        layer: &'g Layer,
    ) -> LayerPass<'g> {
        let loras = self.pairs_of(n).map(|(i, pair)| {
            let r = pair.r();
            let mut matrix =
                |values: &'g [f32], ne| tape.parameter(self.ops.adapter_matrix(graph, values, ne));
            let lora = Lora {
                a: matrix(&pair.a, [pair.n_in, r]),
                b: matrix(&pair.b, [r, pair.n_out]),
                scaling: self.adapter.scaling(pair),
                dropout: dropout
                    .map(|dropout| self.lora_dropout(graph, dropout, batch, i, constants)),
            };
            (pair.projection, lora)
        });
        let shape = self.architecture.attention(n);
        LayerPass {
            loras: loras.collect(),
            ops: &*self.ops,
            shape: &self.architecture,
            layer,
            rotation: self.architecture.rope(n).map(|rope| Rotation {
                rope,
                positions: graph.input([batch.tokens.len(), 1], batch.positions.clone()),
                factors: layer.rope_factors.as_ref(),
            }),
            temperature: self.temperature(graph, &batch.positions),
            kept: self
                .cache
                .as_ref()
                .map(|cache| Kept { tensors: cache.layer(n), sequences: &batch.kept }),
            attention: Attention {
                shape,
                segments: batch.segments.clone(),
                masks: self.mask_nodes(graph, batch, shape.window, constants),
            },
        }
    }

    /// What the queries at these positions are multiplied by, if not by 1.
    fn temperature<'g>(&self, graph: &'g Graph, positions: &[i32]) -> Option<Node<'g>> {
        let temperature = self.architecture.temperature?;
        let factors: Vec<f32> = positions.iter().map(|&p| temperature.of(p)).collect();
        let n = factors.len();
        let needed = factors.iter().any(|&factor| factor != 1.0);
        needed.then(|| graph.reshape(graph.input([n, 1], factors), [1, 1, n]))
    }
}
