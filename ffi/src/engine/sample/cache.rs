//! Keys and values of the sequences that are being continued.

use std::ops::Range;

use cutq_kernels::Segment;

use crate::ggml::arena::Arena;
use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::tensor::Tensor;
use crate::model::architecture::Architecture;

/// K and V of every layer, F32, with room for a number of tokens. Each sequence has a row of them for
/// itself, as long as it may become.
pub(crate) struct Cache {
    /// K and V of each layer.
    layers: Vec<[Tensor; 2]>,
    /// What is free, in order, with no two neighbours.
    free: Vec<Range<usize>>,
    /// Where the memory is.
    _memory: Arena,
}

impl Cache {
    /// Bytes for one token.
    pub fn token_bytes(shape: &Architecture) -> usize {
        let row = |layer| {
            let attention = shape.attention(layer);
            attention.n_head_kv * attention.head_dim
        };
        (0..shape.n_layer).map(|layer| 2 * size_of::<f32>() * row(layer)).sum()
    }

    /// Room for `n_tokens` tokens.
    pub fn new(
        backend: &Backend,
        shape: &Architecture,
        n_tokens: usize,
    ) -> Result<Self, BackendError> {
        let row = |layer| {
            let attention = shape.attention(layer);
            [attention.n_head_kv * attention.head_dim, n_tokens]
        };
        let shapes: Vec<_> = (0..shape.n_layer).flat_map(|layer| [row(layer); 2]).collect();
        let mut memory = Arena::default();
        let mut tensors = memory.tensors(backend, &shapes)?.into_iter();
        let mut pair = || [(); 2].map(|()| tensors.next().expect("two for each layer"));
        let layers = (0..shape.n_layer).map(|_| pair()).collect();
        Ok(Self { layers, free: std::iter::once(0..n_tokens).collect(), _memory: memory })
    }

    /// K and V of a layer.
    pub fn layer(&self, layer: usize) -> &[Tensor; 2] {
        &self.layers[layer]
    }

    /// A row of `len` tokens, if there is one: the first that is long enough.
    pub fn take(&mut self, len: usize) -> Option<Segment> {
        let at = self.free.iter().position(|free| free.len() >= len)?;
        let start = self.free[at].start;
        self.free[at].start += len;
        if self.free[at].is_empty() {
            self.free.remove(at);
        }
        Some(Segment { start, len })
    }

    /// Gives a row back.
    pub fn give(&mut self, Segment { start, len }: Segment) {
        let at = self.free.partition_point(|free| free.start < start);
        self.free.insert(at, start..start + len);
        if at + 1 < self.free.len() && self.free[at].end == self.free[at + 1].start {
            self.free[at].end = self.free.remove(at + 1).end;
        }
        if at > 0 && self.free[at - 1].end == self.free[at].start {
            self.free[at - 1].end = self.free.remove(at).end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_and_given_back() {
        let mut cache = Cache {
            layers: Vec::new(),
            free: std::iter::once(0..10).collect(),
            _memory: Arena::default(),
        };
        let [a, b, c] = [3, 4, 3].map(|len| cache.take(len).expect("there is room"));
        assert_eq!([a.start, b.start, c.start], [0, 3, 7]);
        assert_eq!(cache.take(1), None);
        cache.give(a);
        cache.give(c);
        assert_eq!(cache.take(4), None, "no row is that long");
        cache.give(b);
        assert_eq!(cache.free.len(), 1);
        assert_eq!(cache.take(10), Some(Segment { start: 0, len: 10 }));
        assert!(cache.free.is_empty());
    }
}
