//! What a training step takes in memory, found out without running one.

use cutq_kernels::{HeadShape, LoraShape, PackedShape};

use super::Engine;
use crate::engine::batch::Batch;
use crate::ggml::buffer::Arena;
use crate::model::projection::Module;
use crate::ops::lowering::Lowering;

/// Bytes that a training step takes with a pass of so many tokens: on the CPU all of them, else
/// those of the device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The adapter and its gradients: independent of the tokens.
    pub adapter: u64,
    /// The residual stream before each block and behind the last, and its gradient.
    pub checkpoints: u64,
    /// Intermediate tensors of a block's forward and backward pass, or of the head's.
    pub activations: u64,
    /// On the CPU copies of results, and what the threads work in. Else an estimate of what ggml's
    /// backend takes for itself: one copy of the widest activations.
    pub scratch: u64,
    /// What each block takes that keeps its products.
    pub kept_layer: u64,
    /// What each block takes that keeps the panels of its weights, if it can.
    pub cached_layer: Option<u64>,
    /// The weights.
    pub weights: WeightBytes,
}

/// Bytes of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightBytes {
    /// Blocks of the model.
    pub n_layer: usize,
    /// All blocks.
    pub layers: u64,
    /// The largest block.
    pub layer: u64,
    /// What a block no longer needs that keeps its weights' panels.
    pub unpacked: u64,
    /// Blocks in use at a time, of those that come and go.
    pub in_use: usize,
    /// Everything else, if all blocks stay.
    pub others: u64,
    /// The most of everything else that is in use at a time.
    pub others_in_use: u64,
    /// Whether they are copies on a device; else they are the file's own pages.
    pub copied: bool,
}

impl WeightBytes {
    /// Bytes in memory if `resident_layers` blocks stay, of which `cached_layers` keep panels in
    /// place of weights; both are counted from the last block.
    pub fn resident(&self, resident_layers: usize, cached_layers: usize) -> u64 {
        if resident_layers == self.n_layer {
            return self.layers - cached_layers as u64 * self.unpacked + self.others;
        }
        let away = self.n_layer - resident_layers.max(cached_layers);
        let blocks = resident_layers.saturating_sub(cached_layers) + away.min(self.in_use);
        blocks as u64 * self.layer + self.others_in_use
    }
}

impl Engine {
    /// What a step takes with `n_tokens` in a pass, of sequences of at most `longest` tokens.
    pub fn footprint(&self, n_tokens: usize, longest: usize) -> Footprint {
        let batch = Batch::of_shape(n_tokens, longest);
        let layers = 0..self.architecture.n_layer;
        let kept = layers.clone().map(|layer| Arena::size(&self.keepable(layer, &batch)));
        let panels = layers.clone().map(|layer| Arena::size(&self.panel_shapes(layer)) as u64);
        let blocks = layers.map(|layer| self.block_bytes(layer, &batch)).max();
        let adapter = self.adapter.pairs.iter().map(|pair| 8 * (pair.a.len() + pair.b.len()));
        let adapter: usize = adapter.sum();
        let (adapter, head, scratch) = match self.lowering {
            Lowering::Kernels { .. } => (adapter, 0, self.scratch_bytes(n_tokens, longest)),
            // The adapter's own place is the host's memory; a block's share is among its inputs.
            Lowering::Portable { .. } => {
                let head = self.head_with(self.weights.mapped_head().clone(), &batch);
                (0, head.composed_bytes(), 4 * n_tokens * self.widest())
            }
        };
        Footprint {
            adapter: adapter as u64,
            checkpoints: Arena::size(&self.stream_shapes(&batch)) as u64,
            activations: blocks.unwrap_or(0).max(head) as u64,
            scratch: scratch as u64,
            kept_layer: kept.max().unwrap_or(0) as u64,
            cached_layer: panels.max().filter(|&bytes| bytes > 0),
            weights: self.weight_bytes(),
        }
    }

    fn weight_bytes(&self) -> WeightBytes {
        let n_layer = self.architecture.n_layer;
        let layers = (0..n_layer).map(|n| self.weights.layer_bytes(&self.backend, n) as u64);
        let unpacked = (0..n_layer).map(|n| self.weights.unpacked_bytes(n));
        let [others, others_in_use] = self.weights.other_bytes(&self.backend);
        let copied = matches!(self.lowering, Lowering::Portable { .. });
        WeightBytes {
            n_layer,
            layers: layers.clone().sum(),
            layer: layers.max().unwrap_or(0),
            unpacked: unpacked.min().unwrap_or(0) as u64,
            in_use: if copied { 2 } else { 1 },
            others: others as u64,
            others_in_use: others_in_use as u64,
            copied,
        }
    }

    /// Elements of the widest activation of a token.
    fn widest(&self) -> usize {
        let widths = Module::ALL.map(|module| self.architecture.module_shape(module));
        widths.into_iter().flat_map(|(n_in, n_out)| [n_in, n_out]).max().unwrap_or(0)
    }

    /// The head's rows on their way back, a block's gradients of its adapters, and the largest
    /// scratch of each thread.
    fn scratch_bytes(&self, n_tokens: usize, longest: usize) -> usize {
        let (precision, shape) = (self.precision, &self.architecture);
        let lora = |module: Module| {
            let (n_in, n_out) = shape.module_shape(module);
            let (r, scaling, dropout) = (self.adapter.config.r, 1.0, None);
            LoraShape { n_tokens, n_in, n_out, r, scaling, dropout }.scratch_bytes()
        };
        let product = |module: Module| {
            let (n_in, n_out) = shape.module_shape(module);
            let packed = |r| PackedShape { precision, n_tokens, r };
            packed(n_in).scratch_bytes().max(packed(n_out).scratch_bytes())
        };
        let attention = self.attention_shape(0).scratch_bytes(longest);
        let (n_embd, n_vocab) = (shape.n_embd, shape.n_vocab);
        let head = HeadShape { precision, n_tokens, n_embd, n_vocab }.scratch_bytes();
        let largest = |of: &dyn Fn(Module) -> usize| Module::ALL.map(of).into_iter().max();
        let products = largest(&product).unwrap_or(0).max(largest(&lora).unwrap_or(0));
        let per_thread = products.max(attention).max(head);
        let pairs = self.adapter.pairs.iter().filter(|pair| pair.layer == 0);
        let gradients: usize = pairs.map(|pair| 4 * (pair.a.len() + pair.b.len())).sum();
        4 * n_tokens * n_embd + gradients + self.n_threads * per_thread
    }
}
