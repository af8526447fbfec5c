//! The memory plan of a run: what fits into a budget, decided before a byte of it is spent.
//!
//! A step takes the adapter with its optimizer, one checkpoint per layer, one layer's activations,
//! and whatever layers retain to save computing it again ([`Footprint`](crate::Footprint)). Of
//! these, the number of tokens in a pass can be chosen, and the [`Retention`](crate::Retention):
//! how many layers retain their products, how many layers' weights stay in memory, and how many
//! retain the panels that are made of their weights, which is what memory is used for last: a byte
//! saves a third of the time that a byte of products does. The choice depends on sizes alone, never
//! on a measured time, so that the same run is planned the same way every time: the number of
//! tokens decides in which order gradients are summed up.
//!
//! Sampling takes keys and values of the sequences that live at a time, and panels of the forward
//! products ([`SamplingPlan`](crate::SamplingPlan)); its results do not depend on the choice.
//!
//! Arithmetic only: an [`Engine`](crate::Engine) measures footprints and rates.

pub(crate) mod budget;
mod cost;
pub(crate) mod demand;
pub(crate) mod sampling;

use std::time::Duration;

use crate::engine::footprint::Footprint;
use crate::engine::probe::Rates;
use crate::residency::retention::Retention;

/// How a run uses memory. The parts add up to [`Plan::peak`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Bytes that the program takes beside the engine.
    pub program: u64,
    /// What a pass takes.
    pub footprint: Footprint,
    /// The optimizer's state.
    pub optimizer: u64,
    /// Tokens in a pass, unless a single example is larger.
    pub micro_batch: usize,
    /// What layers retain; those that retain panels retain their products, too.
    pub retention: Retention,
}

impl Plan {
    /// Bytes resident at the peak.
    pub fn peak(&self) -> u64 {
        self.program + self.own() + self.weight_bytes()
    }

    /// Bytes of weights in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.footprint.weights.resident(self.retention)
    }

    /// Bytes of the products that layers retain.
    pub fn product_bytes(&self) -> u64 {
        self.retention.products as u64 * self.footprint.products
    }

    /// Bytes of the panels that layers retain.
    pub fn panel_bytes(&self) -> u64 {
        self.retention.panels as u64 * self.footprint.weights.panels.unwrap_or(0)
    }

    /// Bytes of the engine without the weights.
    fn own(&self) -> u64 {
        let Footprint { adapter, checkpoints, activations, scratch, .. } = self.footprint;
        let retained = self.product_bytes() + self.panel_bytes();
        adapter + self.optimizer + checkpoints + activations + scratch + retained
    }

    /// Tokens per second of a training step with these rates; the optimizer's time is left out.
    pub fn tok_per_s(&self, rates: &Rates) -> f64 {
        let Retention { products, panels, weights } = self.retention;
        // Layers are counted from the last.
        let layer = |i: usize| {
            let times = if i < panels { rates.with_panels } else { rates.layer };
            let backward = if i < products { times.backward_saved } else { times.backward };
            let copy = if i < weights { Duration::ZERO } else { rates.copy };
            times.forward.max(copy) + backward.max(copy)
        };
        let n_layer = self.footprint.weights.n_layer;
        let seconds = (0..n_layer).map(layer).sum::<Duration>() + rates.head;
        rates.n_tokens as f64 / seconds.as_secs_f64()
    }
}
