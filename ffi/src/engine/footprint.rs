//! What a training step takes in memory, found out without running one.

use cutq_kernels::{HeadShape, LoraShape, PackedShape};

use super::{EMBEDDING_TENSOR, Engine};
use crate::architecture::Architecture;
use crate::batch::Batch;
use crate::buffer::Arena;
use crate::module::Module;

/// Bytes that a training step takes with a pass of so many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The adapter and its gradients: independent of the tokens.
    pub adapter: u64,
    /// The residual stream before each block and behind the last, and its gradient.
    pub checkpoints: u64,
    /// Intermediate tensors of a block's forward and backward pass.
    pub activations: u64,
    /// Copies of results, and what the threads work in.
    pub scratch: u64,
    /// What each block takes that keeps its products.
    pub kept_layer: u64,
    /// The model's tensors, if they stay resident.
    pub weights: u64,
    /// The most of them that is in use at a time: the head and the block before it.
    pub weights_in_use: u64,
}

impl Engine {
    /// What a step takes with `n_tokens` in a pass, of sequences of at most `longest` tokens.
    pub fn footprint(&self, n_tokens: usize, longest: usize) -> Footprint {
        let batch = Batch::of_shape(n_tokens, longest);
        let layers = 0..self.architecture.n_layer;
        let kept = layers.clone().map(|layer| Arena::size(&self.keepable(layer, &batch)));
        let activations = layers.map(|layer| self.block_bytes(layer, &batch));
        let adapter = self.adapter.pairs.iter().map(|pair| 8 * (pair.a.len() + pair.b.len()));
        Footprint {
            adapter: adapter.sum::<usize>() as u64,
            checkpoints: Arena::size(&self.stream_shapes(&batch)) as u64,
            activations: activations.max().unwrap_or(0) as u64,
            scratch: self.scratch_bytes(n_tokens, longest) as u64,
            kept_layer: kept.max().unwrap_or(0) as u64,
            weights: self.tensor_bytes(self.gguf.tensors().keys().map(String::as_str)),
            weights_in_use: self.weights_in_use(),
        }
    }

    fn tensor_bytes<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> u64 {
        let sizes = names.into_iter().filter_map(|name| self.gguf.tensors().get(name));
        sizes.map(|info| info.size as u64).sum()
    }

    fn weights_in_use(&self) -> u64 {
        let blocks = (0..self.architecture.n_layer).map(|layer| {
            let names = Module::ALL.map(|module| module.tensor_name(layer));
            self.tensor_bytes(names.iter().map(String::as_str))
        });
        let head = self.tensor_bytes([EMBEDDING_TENSOR]);
        let head = head.max(self.tensor_bytes([Architecture::head_tensor(&self.gguf)]));
        blocks.max().unwrap_or(0) + head
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
