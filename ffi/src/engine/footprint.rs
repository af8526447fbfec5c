//! What a training step takes in memory, found out without running one.

use cutq_kernels::{HeadShape, LoraShape, PackedShape};

use super::Engine;
use super::batch::Batch;
use crate::ggml::arena::Arena;
use crate::model::projection::Projection;
use crate::ops::head::Head;
use crate::residency::bytes::WeightBytes;

/// Bytes that a training step takes with a given number of tokens in a pass: on the CPU all of
/// them, on another device those in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The adapter and its gradients: independent of the tokens.
    pub adapter: u64,
    /// The residual before each layer and behind the last, and its gradient.
    pub checkpoints: u64,
    /// Intermediate tensors of a layer's forward and backward pass, or of the head's; beside a device
    /// also what all layers read there, the masks of attention and of dropout.
    pub activations: u64,
    /// On the CPU copies of results, and what the threads work in. Else an estimate of what ggml's
    /// backend takes for itself: one copy of the widest activations.
    pub scratch: u64,
    /// What a layer that retains its products takes for them, at most.
    pub products: u64,
    /// The weights.
    pub weights: WeightBytes,
}

impl Engine {
    /// What a step takes with `n_tokens` in a pass, of sequences of at most `longest` tokens.
    pub fn footprint(&self, n_tokens: usize, longest: usize) -> Footprint {
        let batch = Batch::of_shape(n_tokens, longest);
        let layers = 0..self.architecture.n_layer;
        let products = layers.clone().map(|layer| Arena::size(&self.saved_shapes(layer, &batch)));
        let of_layers = layers.map(|layer| self.layer_bytes(layer, &batch)).max();
        let activations = of_layers.unwrap_or(0).max(self.head_bytes(&batch));
        // Beside a device, the adapter's place is the host's memory; a layer's share of it is among
        // the layer's inputs.
        let (adapter, scratch) = match self.copied {
            false => (8 * self.adapter.n_params(), self.scratch_bytes(n_tokens, longest)),
            true => (0, 4 * n_tokens * self.widest()),
        };
        Footprint {
            adapter: adapter as u64,
            checkpoints: Arena::size(&self.checkpoint_shapes(&batch)) as u64,
            activations: (activations + self.constant_bytes(n_tokens, longest)) as u64,
            scratch: scratch as u64,
            products: products.max().unwrap_or(0) as u64,
            weights: self.weights.bytes(&self.backend),
        }
    }

    /// Bytes of the intermediate tensors of the head's graphs, if every token is a target.
    fn head_bytes(&self, batch: &Batch) -> usize {
        let targets: Vec<_> = batch.tokens.iter().map(|_| (0, 0)).collect();
        let head = Head { targets: &targets, ..self.planned_head(batch) };
        let graphs = self.ops.head_graphs(&head);
        graphs.iter().map(|graph| self.backend.graph_bytes(graph)).max().unwrap_or(0)
    }

    /// Elements of the widest activation of a token.
    fn widest(&self) -> usize {
        let widths =
            self.architecture.projections().iter().map(|&p| self.architecture.projection_shape(p));
        widths.flat_map(|(n_in, n_out)| [n_in, n_out]).max().unwrap_or(0)
    }

    /// The head's rows on their way back, a gradient of an adapter, and the largest
    /// scratch of each thread.
    pub(super) fn scratch_bytes(&self, n_tokens: usize, longest: usize) -> usize {
        let (precision, shape) = (self.precision, &self.architecture);
        let lora = |projection: Projection| {
            let (n_in, n_out) = shape.projection_shape(projection);
            let (r, scaling, dropout) = (self.adapter.config.r, 1.0, None);
            LoraShape { n_tokens, n_in, n_out, r, scaling, dropout }.scratch_bytes()
        };
        let product = |projection: Projection| {
            let (n_in, n_out) = shape.projection_shape(projection);
            let packed = |r| PackedShape { precision, n_tokens, r };
            packed(n_in).scratch_bytes().max(packed(n_out).scratch_bytes())
        };
        let attention = shape.attention(0).scratch_bytes(longest);
        let (n_embd, n_vocab) = (shape.n_embd, shape.n_vocab);
        let head = HeadShape { precision, n_tokens, n_embd, n_vocab }.scratch_bytes();
        let largest =
            |of: &dyn Fn(Projection) -> usize| shape.projections().iter().copied().map(of).max();
        let products = largest(&product).unwrap_or(0).max(largest(&lora).unwrap_or(0));
        let per_thread = products.max(attention).max(head);
        let sides = self.adapter.pairs.iter().map(|pair| pair.a.len().max(pair.b.len()));
        let gradients = 4 * sides.max().unwrap_or(0);
        4 * n_tokens * n_embd + gradients + self.n_threads * per_thread
    }
}
