//! Keys and values of the sequences that are being continued.

use cutq_kernels::PAGE;

use crate::ggml::arena::Arena;
use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::tensor::Tensor;
use crate::model::architecture::Architecture;

/// K and V of every layer, F32, in pages of [`PAGE`] tokens. A page belongs to one sequence, or to what
/// several of them begin with.
pub(crate) struct Cache {
    /// K and V of each layer.
    layers: Vec<[Tensor; 2]>,
    /// The first token of each free page.
    free: Vec<usize>,
    /// Where the memory is.
    _memory: Arena,
}

impl Cache {
    /// Bytes of a page.
    pub fn page_bytes(shape: &Architecture) -> usize {
        let row = |layer| {
            let attention = shape.attention(layer);
            attention.n_head_kv * attention.head_dim
        };
        (0..shape.n_layer).map(|layer| 2 * size_of::<f32>() * PAGE * row(layer)).sum()
    }

    /// Room for `n_pages` pages.
    pub fn new(
        backend: &Backend,
        shape: &Architecture,
        n_pages: usize,
    ) -> Result<Self, BackendError> {
        let rows = |layer| {
            let attention = shape.attention(layer);
            [attention.n_head_kv * attention.head_dim, n_pages * PAGE]
        };
        let shapes: Vec<_> = (0..shape.n_layer).flat_map(|layer| [rows(layer); 2]).collect();
        let mut memory = Arena::default();
        let mut tensors = memory.tensors(backend, &shapes)?.into_iter();
        let mut pair = || [(); 2].map(|()| tensors.next().expect("two for each layer"));
        let layers = (0..shape.n_layer).map(|_| pair()).collect();
        Ok(Self { layers, free: pages(n_pages), _memory: memory })
    }

    /// K and V of a layer.
    pub fn layer(&self, layer: usize) -> &[Tensor; 2] {
        &self.layers[layer]
    }

    /// The first tokens of `n` pages, if there are as many.
    pub fn take(&mut self, n: usize) -> Option<Vec<usize>> {
        let left = self.free.len().checked_sub(n)?;
        Some(self.free.split_off(left))
    }

    /// Gives pages back.
    pub fn give(&mut self, pages: impl IntoIterator<Item = usize>) {
        self.free.extend(pages);
    }
}

/// The first tokens of all pages.
fn pages(n: usize) -> Vec<usize> {
    (0..n).map(|page| page * PAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_belong_to_one_sequence() {
        let mut cache = Cache { layers: Vec::new(), free: pages(5), _memory: Arena::default() };
        let [a, b] = [2, 3].map(|n| cache.take(n).expect("there is room"));
        let mut all = [&a[..], &b].concat();
        all.sort_unstable();
        assert_eq!(all, pages(5));
        assert_eq!(cache.take(1), None);
        cache.give(a);
        assert_eq!(cache.take(3), None);
        assert_eq!(cache.take(2).map(|pages| pages.len()), Some(2));
    }
}
