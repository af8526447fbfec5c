//! What all layers of a pass read besides their weights, where a device computes.
//!
//! The host makes it and writes it to the device once for a pass, not once for each layer.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use cutq_kernels::{Dropout, DropoutPool};

use super::Engine;
use super::batch::Batch;
use crate::ggml::arena::Arena;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::ops::attention::{Mask, QUERIES, tiles};
use crate::ops::linear::LoraDropout;

/// What a training pass drops of the inputs of its adapters.
#[derive(Clone, Copy)]
pub(super) struct PassDropout {
    seed: u64,
    factors: DropoutPool,
}

/// Tensors on the device; none where the kernels compute.
#[derive(Default)]
pub(in crate::engine) struct PassConstants {
    /// What queries see, of every kind of tile.
    masks: BTreeMap<Mask, Tensor>,
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
    fn windows(&self) -> BTreeSet<Option<usize>> {
        (0..self.architecture.n_layer).map(|n| self.architecture.attention(n).window).collect()
    }

    /// The masks that the layers of one kind read.
    fn masks_of(batch: &Batch, window: Option<usize>) -> BTreeSet<Mask> {
        let tiles = batch.segments.iter().flat_map(|segment| tiles(segment.len, window));
        tiles.map(|tile| Mask::new(&tile, window)).collect()
    }

    fn masks(&self, batch: &Batch) -> BTreeSet<Mask> {
        let windows = self.windows().into_iter();
        windows.flat_map(|window| Self::masks_of(batch, window)).collect()
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
        let masks: BTreeMap<_, _> = masks.collect();
        masks.iter().for_each(|(mask, tensor)| tensor.write(0, &mask.values()));
        let pool = dropout.map(|PassDropout { factors, .. }| {
            let tensor = tensors.next().expect("there is a tensor for each shape");
            tensor.write(0, &factors.first(tensor.len()));
            tensor
        });
        PassConstants { masks, pool }
    }

    /// Bytes of the constants of any training pass of `n_tokens` tokens in sequences of `longest` at
    /// most, as if no two of them shared a mask.
    ///
    /// Of all lengths, the longest has the most mask for each token, or the last one that is a whole
    /// number of tiles.
    pub(super) fn constant_bytes(&self, n_tokens: usize, longest: usize) -> usize {
        if !self.copied {
            return 0;
        }
        let of_length = |len: usize, window| {
            let shapes = tiles(len, window).map(|tile| Mask::new(&tile, window).ne());
            n_tokens.div_ceil(len) * Arena::size(&shapes.collect::<Vec<_>>())
        };
        let of_window = |window| {
            let lengths = [longest, longest / QUERIES * QUERIES].into_iter().filter(|&len| len > 0);
            lengths.map(|len| of_length(len, window)).max().unwrap_or(0)
        };
        let masks: usize = self.windows().into_iter().map(of_window).sum();
        masks + self.pass_dropout(0).map_or(0, |_| Arena::size(&[self.pool_shape()]))
    }

    /// The masks of a layer whose queries see as far as `window`: of a pass, or to plan with.
    pub(super) fn mask_nodes<'g>(
        &self,
        graph: &'g Graph,
        batch: &Batch,
        window: Option<usize>,
        constants: Option<&'g PassConstants>,
    ) -> Rc<BTreeMap<Mask, Node<'g>>> {
        if !self.copied {
            return Rc::default();
        }
        let node = |mask: Mask| match constants {
            Some(constants) => graph.leaf(&constants.masks[&mask]),
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
        let pool = self.copied.then(|| match constants {
            Some(PassConstants { pool, .. }) => {
                graph.leaf(pool.as_ref().expect("a pass that drops has a pool"))
            }
            None => graph.placeholder(self.pool_shape()),
        });
        LoraDropout {
            mask: Dropout::new(factors, seed.wrapping_add(pair as u64), &batch.keys),
            pool,
        }
    }
}
