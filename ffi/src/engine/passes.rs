//! The passes of a model over a pack: graphs of one block each.

use std::rc::Rc;
use std::time::Instant;

use cutq_kernels::{AttentionShape, Dropout};

use super::{Engine, EngineError, PairGradient, Pending};
use crate::adapter::LoraPair;
use crate::engine::batch::Batch;
use crate::engine::layer::Block;
use crate::ggml::buffer::{self, Tensor};
use crate::ggml::graph::{Graph, Node, Rotation};
use crate::model::projection::Module;
use crate::ops::head::Head;
use crate::ops::kernels::product::Products;
use crate::ops::lowering::Lowering;
use crate::ops::portable::product;
use crate::ops::tape::{Kept, Tape, Var};
use crate::ops::{Attention, Lora};
use crate::residency::weights::{HeadWeights, Layer};

/// More than the tensors of one block's forward and backward pass by the kernels.
const BLOCK_CAPACITY: usize = 1024;

/// One block in one pass.
pub(super) struct Place<'a> {
    pub layer: usize,
    pub batch: &'a Batch,
    /// Of the dropout, if there is any.
    pub seed: Option<u64>,
    /// What the block keeps, or kept.
    pub kept: Option<&'a [Tensor]>,
}

impl Engine {
    /// Rows of the embedding, dequantized on the host and written to the first checkpoint.
    pub(super) fn embed(&self, tokens: &[u32], stream: &Tensor) {
        let (embedding, n_embd) = (&self.weights.embedding, self.architecture.n_embd);
        let mut row = vec![0.0; n_embd];
        for (t, &token) in tokens.iter().enumerate() {
            embedding.unpack(token as usize, 0, &mut row);
            row.iter_mut().for_each(|x| *x *= self.architecture.embedding_scale);
            stream.write(t * n_embd, &row);
        }
    }

    /// Runs a block from the stream before it to the one behind it.
    pub(super) fn run_block(&self, at: &Place<'_>, ends: [&Tensor; 2]) -> Result<(), EngineError> {
        let weights = self.weights.layer(&self.backend, at.layer)?;
        let graph = self.block_graph(&weights, at.batch);
        self.add_forward(&graph, at, &weights, ends);
        let next = at.layer + 1;
        if next < self.architecture.n_layer {
            self.weights.expect(&self.backend, next)?;
        }
        self.backend.run(&graph)?;
        self.weights.release(at.layer);
        Ok(())
    }

    /// Adds a block to a graph that was made for it.
    pub(super) fn add_forward<'g>(
        &'g self,
        graph: &'g Graph,
        at: &Place<'g>,
        weights: &'g Layer,
        [before, behind]: [&'g Tensor; 2],
    ) {
        let kept = at.kept.map_or(Kept::Nothing, Kept::Into);
        let mut tape = Tape::new(graph, self.lowering).with_kept(kept);
        let block = self.block(graph, &mut tape, at, weights);
        let x = tape.constant(graph.leaf(before));
        let y = block.forward(&mut tape, x);
        graph.store(y.node, behind);
    }

    /// The gradients of a block's adapters, by pair; turns the gradient for the block's output, in
    /// `d_stream`, into the one for its input, if a block below needs it.
    pub(super) fn run_block_backward(
        &self,
        at: &Place<'_>,
        before: &Tensor,
        d_stream: &Tensor,
    ) -> Result<Vec<PairGradient>, EngineError> {
        let weights = self.weights.layer(&self.backend, at.layer)?;
        let graph = self.block_graph(&weights, at.batch);
        let of_pairs = self.add_backward(&graph, at, &weights, [before, d_stream]);
        if at.layer > self.lowest() {
            self.weights.expect(&self.backend, at.layer - 1)?;
        }
        self.backend.run(&graph)?;
        self.weights.release(at.layer);
        let read = |((pair, _), nodes): ((usize, _), [Node<'_>; 2])| {
            let [da, db] = nodes.map(buffer::read);
            PairGradient { pair, da, db }
        };
        Ok(self.pairs_of(at.layer).zip(of_pairs).map(read).collect())
    }

    /// Adds a block's forward and backward pass to a graph that was made for them; returns the
    /// gradients of its adapters.
    pub(super) fn add_backward<'g>(
        &'g self,
        graph: &'g Graph,
        at: &Place<'g>,
        weights: &'g Layer,
        [before, d_stream]: [&'g Tensor; 2],
    ) -> Vec<[Node<'g>; 2]> {
        let kept = at.kept.map_or(Kept::Nothing, Kept::In);
        let mut tape = Tape::new(graph, self.lowering).with_kept(kept);
        let ends = [graph.leaf(before), graph.leaf(d_stream)];
        let (of_pairs, dx) = self.block_backward(graph, &mut tape, at, weights, ends);
        if let Some(dx) = dx {
            // Last, since it overwrites what the others read.
            graph.store(dx, d_stream);
        }
        of_pairs
    }

    /// Bytes of the intermediate tensors of the block's backward pass, which has more of them than
    /// any other graph.
    pub(super) fn block_bytes(&self, layer: usize, batch: &Batch) -> usize {
        let weights = self.weights.mapped_layer(layer);
        let graph = self.block_graph(weights, batch);
        let mut tape = Tape::new(&graph, self.lowering);
        let at = Place { layer, batch, seed: Some(0), kept: None };
        let shape = [self.architecture.n_embd, batch.tokens.len()];
        let ends = [(); 2].map(|()| graph.placeholder(shape));
        if let (_, Some(dx)) = self.block_backward(&graph, &mut tape, &at, weights, ends) {
            graph.output(dx);
        }
        self.backend.graph_bytes(&graph)
    }

    /// Adds a block's forward and backward pass to a graph, given the stream before it and the
    /// gradient behind it. Returns the gradients of its adapters and, if a block below needs it,
    /// of the stream.
    fn block_backward<'g>(
        &'g self,
        graph: &'g Graph,
        tape: &mut Tape<'g>,
        at: &Place<'g>,
        weights: &'g Layer,
        [x, dy]: [Node<'g>; 2],
    ) -> (Vec<[Node<'g>; 2]>, Option<Node<'g>>) {
        let block = self.block(graph, tape, at, weights);
        let below = self.adapter.pairs.iter().any(|pair| pair.layer < at.layer);
        let x: Var<'_> = if below { tape.parameter(x) } else { tape.constant(x) };
        let y = block.forward(tape, x);
        let gradients = tape.backward(y, dy);
        let of = |var| gradients.of(var).expect("the block depends on it");
        let of_pairs = block.loras.iter().map(|(_, lora)| [of(lora.a), of(lora.b)]);
        let of_pairs: Vec<[Node<'_>; 2]> = of_pairs.collect();
        of_pairs.iter().flatten().for_each(|&node| graph.output(node));
        (of_pairs, below.then(|| of(x)))
    }

    /// The lowest block with an adapter, below which the backward pass does not go.
    pub(super) fn lowest(&self) -> usize {
        let layers = self.adapter.pairs.iter().map(|pair| pair.layer);
        layers.min().unwrap_or(self.architecture.n_layer)
    }

    fn pairs_of(&self, layer: usize) -> impl Iterator<Item = (usize, &LoraPair)> {
        self.adapter.pairs.iter().enumerate().filter(move |(_, pair)| pair.layer == layer)
    }

    /// A forward pass that leaves nothing.
    pub(super) fn log_probs(&mut self, batch: &Batch) -> Result<Vec<f64>, EngineError> {
        let shape = [self.architecture.n_embd, batch.tokens.len()];
        let started = Instant::now();
        let stream = self.arena.tensors(&self.backend, &[shape; 2])?;
        self.embed(&batch.tokens, &stream[0]);
        let n_layer = self.architecture.n_layer;
        for layer in 0..n_layer {
            let ends = [layer, layer + 1].map(|i| &stream[i % 2]);
            self.run_block(&Place { layer, batch, seed: None, kept: None }, ends)?;
        }
        self.timings.forward += started.elapsed();
        let started = Instant::now();
        let targets = self.head(batch)?.log_probs(&stream[n_layer % 2])?;
        self.weights.release_head();
        self.timings.head += started.elapsed();
        Ok(targets.iter().map(|t| t.log_prob).collect())
    }

    /// A forward pass that leaves what the backward pass needs.
    pub(super) fn forward_kept(&mut self, batch: Batch, seed: u64) -> Result<Pending, EngineError> {
        let n_layer = self.architecture.n_layer;
        let started = Instant::now();
        let shapes = self.pass_shapes(&batch);
        let mut tensors = self.arena.tensors(&self.backend, &shapes.concat())?.into_iter();
        let mut take = |shapes: &Vec<_>| tensors.by_ref().take(shapes.len()).collect();
        let mut stream: Vec<Tensor> = take(&shapes[0]);
        let d_stream = stream.pop().expect("the last of the stream's tensors");
        let kept: Vec<Vec<Tensor>> = shapes[1..].iter().map(take).collect();
        self.embed(&batch.tokens, &stream[0]);
        for layer in 0..n_layer {
            let ends = [&stream[layer], &stream[layer + 1]];
            let kept = layer.checked_sub(n_layer - kept.len()).map(|i| kept[i].as_slice());
            self.run_block(&Place { layer, batch: &batch, seed: Some(seed), kept }, ends)?;
        }
        self.timings.forward += started.elapsed();
        let started = Instant::now();
        let targets = self.head(&batch)?.log_probs(&stream[n_layer])?;
        self.weights.release_head();
        self.timings.head += started.elapsed();
        Ok(Pending { batch, stream, d_stream, kept, targets, seed })
    }

    /// Shapes of what outlives a block in a training pass: the residual stream before each block,
    /// after the last and its gradient; then, for each kept block, its values.
    fn pass_shapes(&self, batch: &Batch) -> Vec<Vec<[usize; 2]>> {
        let n_layer = self.architecture.n_layer;
        let stream = self.stream_shapes(batch);
        let kept = (n_layer - self.kept_layers..n_layer).map(|layer| self.keepable(layer, batch));
        std::iter::once(stream).chain(kept).collect()
    }

    /// Shapes of the residual stream before each block, after the last, and of its gradient.
    pub(super) fn stream_shapes(&self, batch: &Batch) -> Vec<[usize; 2]> {
        vec![[self.architecture.n_embd, batch.tokens.len()]; self.architecture.n_layer + 2]
    }

    /// Shapes of what block `layer` can keep.
    pub(super) fn keepable(&self, layer: usize, batch: &Batch) -> Vec<[usize; 2]> {
        let weights = self.weights.mapped_layer(layer);
        let graph = self.block_graph(weights, batch);
        let mut tape = Tape::new(&graph, self.lowering);
        let shape = [self.architecture.n_embd, batch.tokens.len()];
        let x = tape.constant(graph.placeholder(shape));
        let at = Place { layer, batch, seed: None, kept: None };
        self.block(&graph, &mut tape, &at, weights).forward(&mut tape, x);
        tape.keepable().to_vec()
    }

    fn block<'g>(
        &'g self,
        graph: &'g Graph,
        tape: &mut Tape<'g>,
        &Place { layer, batch, seed, .. }: &Place<'g>,
        weights: &'g Layer,
    ) -> Block<'g> {
        let n_tokens = batch.tokens.len();
        let loras = self.pairs_of(layer).map(|(i, pair)| {
            let r = self.adapter.config.r;
            let lora = Lora {
                a: tape.parameter(self.adapter_matrix(graph, &pair.a, [pair.n_in, r])),
                b: tape.parameter(self.adapter_matrix(graph, &pair.b, [r, pair.n_out])),
                scaling: self.adapter.scaling(),
                dropout: self.dropout(seed, i),
            };
            (pair.module, lora)
        });
        Block {
            architecture: &self.architecture,
            layer: weights,
            products: Products::new(graph, self.lowering),
            rotation: Rotation {
                rope: self.architecture.rope(layer),
                positions: graph.input([n_tokens, 1], batch.positions.clone()),
                factors: weights.rope_factors.as_ref().map(|f| graph.leaf(f)),
            },
            attention: Attention {
                shape: self.attention_shape(layer),
                segments: batch.segments.clone(),
            },
            loras: loras.collect::<Vec<(Module, Lora<'g>)>>(),
        }
    }

    /// A matrix of the adapter: on the CPU where it lies, else a copy on the device.
    fn adapter_matrix<'g>(&self, graph: &'g Graph, values: &'g [f32], ne: [usize; 2]) -> Node<'g> {
        match self.lowering {
            Lowering::Kernels { .. } => graph.slice(values, ne),
            Lowering::Portable { .. } => graph.input(ne, values.to_vec()),
        }
    }

    /// A graph with room for a block, forward and backward.
    pub(super) fn block_graph(&self, weights: &Layer, batch: &Batch) -> Graph {
        Graph::new(match self.lowering {
            Lowering::Kernels { .. } => BLOCK_CAPACITY,
            Lowering::Portable { .. } => {
                let weight = |module| &weights.projection(module).weight.data;
                let products: usize = Module::ALL.map(weight).map(product::capacity).iter().sum();
                BLOCK_CAPACITY + products + Attention::capacity(&batch.segments)
            }
        })
    }

    pub(super) fn attention_shape(&self, layer: usize) -> AttentionShape {
        AttentionShape {
            n_head: self.architecture.n_head,
            n_head_kv: self.architecture.n_head_kv,
            head_dim: self.architecture.head_dim,
            scale: self.architecture.attention_scale,
            window: self.architecture.window(layer),
        }
    }

    /// A pair's dropout in this step, if there is any.
    fn dropout(&self, step_seed: Option<u64>, pair: usize) -> Option<Dropout> {
        let p = self.adapter.config.lora_dropout;
        let step_seed = step_seed.filter(|_| p > 0.0)?;
        Some(Dropout::new(dropout_seed(step_seed, pair), p))
    }

    pub(super) fn head<'a>(&'a self, batch: &'a Batch) -> Result<Head<'a>, EngineError> {
        Ok(self.head_with(self.weights.head(&self.backend)?, batch))
    }

    pub(super) fn head_with<'a>(&'a self, weights: Rc<HeadWeights>, batch: &'a Batch) -> Head<'a> {
        let (backend, lowering) = (&self.backend, self.lowering);
        Head { backend, lowering, weights, rms_eps: self.architecture.rms_eps, batch }
    }
}

/// A seed for one tensor of one step.
fn dropout_seed(step_seed: u64, index: usize) -> u64 {
    let mut x = step_seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
