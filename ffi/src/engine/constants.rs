//! What all layers of a pass read besides their weights, where a device computes.
//!
//! The host makes it and writes it to the device once for a pass, not once for each layer.

use std::collections::HashMap;
use std::rc::Rc;

use cutq_kernels::{Dropout, DropoutPool};

use super::Engine;
use super::batch::Batch;
use crate::ggml::arena::Arena;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::ops::attention::{Mask, tiles};
use crate::ops::linear::LoraDropout;

/// What a training pass drops of the inputs of its adapters.
#[derive(Clone, Copy)]
pub(super) struct PassDropout {
    seed: u64,
    factors: DropoutPool,
}

/// Tensors on the device; none where the kernels compute.
#[derive(Default)]
pub(super) struct PassConstants {
    /// What queries see, of every kind of tile.
    masks: Vec<(Mask, Tensor)>,
    /// The factors that dropout's masks are gathered of, if anything is dropped.
    pool: Option<Tensor>,
}

impl Engine {
    /// The dropout of a training pass, if there is any.
    pub(super) fn pass_dropout(&self, seed: u64) -> Option<PassDropout> {
        let p = self.adapter.config.lora_dropout;
        (p > 0.0).then(|| PassDropout { seed, factors: DropoutPool::new(seed, p) })
    }

    /// The windows of attention that layers have.
    fn windows(&self) -> Vec<Option<usize>> {
        let layers = 0..self.architecture.n_layer;
        let mut all: Vec<_> = layers.map(|n| self.architecture.attention(n).window).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The masks that one kind of layer reads, each once.
    fn masks_of(batch: &Batch, window: Option<usize>) -> Vec<Mask> {
        let tiles = batch.segments.iter().flat_map(|segment| tiles(segment.len, window));
        let mut all: Vec<Mask> = tiles.map(|tile| Mask::new(&tile, window)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn masks(&self, batch: &Batch) -> Vec<Mask> {
        let windows = self.windows().into_iter();
        let mut all: Vec<Mask> = windows.flat_map(|window| Self::masks_of(batch, window)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn pool_shape(&self) -> [usize; 2] {
        let columns = self.adapter.pairs.iter().map(|pair| pair.n_in).max();
        [DropoutPool::len(columns.unwrap_or(0)), 1]
    }

    /// Shapes of a pass's constants.
    pub(super) fn constant_shapes(
        &self,
        batch: &Batch,
        dropout: Option<PassDropout>,
    ) -> Vec<[usize; 2]> {
        if !self.copied {
            return Vec::new();
        }
        let masks = self.masks(batch).into_iter().map(Mask::ne);
        masks.chain(dropout.map(|_| self.pool_shape())).collect()
    }

    /// The constants of a pass, written to tensors of [`Engine::constant_shapes`].
    pub(super) fn constants(
        &self,
        batch: &Batch,
        dropout: Option<PassDropout>,
        tensors: Vec<Tensor>,
    ) -> PassConstants {
        if !self.copied {
            return PassConstants::default();
        }
        let mut tensors = tensors.into_iter();
        let masks = self.masks(batch).into_iter().zip(tensors.by_ref());
        let masks: Vec<_> = masks.collect();
        masks.iter().for_each(|(mask, tensor)| tensor.write(0, &mask.values()));
        let pool = dropout.map(|PassDropout { factors, .. }| {
            let tensor = tensors.next().expect("there is a tensor for each shape");
            tensor.write(0, &factors.first(tensor.len()));
            tensor
        });
        PassConstants { masks, pool }
    }

    /// Bytes of the constants of any training pass of as many tokens, in sequences that are no longer:
    /// no two sequences share a mask.
    pub(super) fn constant_bytes(&self, batch: &Batch) -> usize {
        if !self.copied {
            return 0;
        }
        let of_window = |window| {
            let tiles = batch.segments.iter().flat_map(move |s| tiles(s.len, window));
            tiles.map(move |tile| Mask::new(&tile, window).ne())
        };
        let mut shapes: Vec<_> = self.windows().into_iter().flat_map(of_window).collect();
        shapes.extend(self.pass_dropout(0).map(|_| self.pool_shape()));
        Arena::size(&shapes)
    }

    /// The masks of a layer whose queries see as far as `window`: of a pass, or to plan with.
    pub(super) fn mask_nodes<'g>(
        &self,
        graph: &'g Graph,
        batch: &Batch,
        window: Option<usize>,
        constants: Option<&'g PassConstants>,
    ) -> Rc<HashMap<Mask, Node<'g>>> {
        if !self.copied {
            return Rc::default();
        }
        let node = |mask: Mask| match constants {
            Some(PassConstants { masks, .. }) => {
                let found = masks.binary_search_by_key(&mask, |(mask, _)| *mask);
                graph.leaf(&masks[found.expect("a pass has the masks of its batch")].1)
            }
            None => graph.placeholder(mask.ne()),
        };
        let masks = Self::masks_of(batch, window).into_iter();
        Rc::new(masks.map(|mask| (mask, node(mask))).collect())
    }

    /// What a pass drops of the input of one pair: of a pass, or to plan with.
    pub(super) fn lora_dropout<'g>(
        &self,
        graph: &'g Graph,
        PassDropout { seed, factors }: PassDropout,
        batch: &Batch,
        pair: usize,
        constants: Option<&'g PassConstants>,
    ) -> LoraDropout<'g> {
        let pool = self.copied.then(|| match constants.and_then(|all| all.pool.as_ref()) {
            Some(pool) => graph.leaf(pool),
            None => graph.placeholder(self.pool_shape()),
        });
        LoraDropout {
            mask: Dropout::new(factors, seed.wrapping_add(pair as u64), &batch.keys),
            pool,
        }
    }
}
