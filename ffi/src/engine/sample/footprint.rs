//! What sampling takes in memory beside keys and values, found out without a pass.

use super::request::SampleRequest;
use super::sequence::PASS;
use crate::engine::Engine;
use crate::engine::batch::Batch;
use crate::ggml::arena::Arena;
use crate::residency::bytes::WeightBytes;

/// Bytes that sampling takes beside keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplingFootprint {
    /// The adapter.
    pub adapter: u64,
    /// The largest pass: the residual, intermediate tensors of a layer, what threads work in.
    pub pass: u64,
    /// The logits of one sequence, twice.
    pub logits: u64,
    /// The weights.
    pub weights: WeightBytes,
}

impl Engine {
    /// What answering these requests takes.
    pub fn sampling_footprint(&self, requests: &[SampleRequest]) -> SamplingFootprint {
        let longest = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
        let n_tokens = longest.max(PASS);
        let batch = Batch::of_shape(n_tokens, longest);
        let layers = 0..self.architecture.n_layer;
        let of_layer = layers.map(|layer| self.forward_bytes(layer, &batch)).max().unwrap_or(0);
        let residual = Arena::size(&[self.residual_shape(&batch); 2]);
        let longest = requests.iter().map(|request| self.longest(request)).max().unwrap_or(0);
        let scratch = self.scratch_bytes(n_tokens, longest);
        let logits = 2 * size_of::<f32>() * self.architecture.n_vocab;
        SamplingFootprint {
            adapter: (size_of::<f32>() * self.adapter.n_params()) as u64,
            pass: (residual + of_layer + scratch) as u64,
            logits: logits as u64,
            weights: self.weights.bytes(&self.backend),
        }
    }
}
