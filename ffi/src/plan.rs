//! The memory plan of a run: what fits into a budget, decided before a byte of it is spent.
//!
//! A step takes the adapter with its optimizer, one checkpoint per block, one block's activations,
//! and whatever blocks keep to save computing them again ([`Footprint`]). Of these, the number of
//! tokens in a pass and the number of blocks that keep their products can be chosen, and how many
//! blocks' weights stay in memory. The choice depends on sizes alone, never on a measured time, so
//! that the same run is planned the same way every time: the number of tokens decides in which order
//! gradients are summed up.

use crate::engine::{Engine, Footprint, WeightBytes};

/// Unpacking a weight costs as much as multiplying it with so many tokens. Measured in the kernels'
/// benchmark: 0.28 ns against 0.0033 ns per token.
const UNPACKING: f64 = 85.0;

/// What giving pages back and reading them again adds to a pass over the weights, relative to
/// multiplying them with [`UNPACKING`] tokens.
const RELEASING: f64 = 0.5;

/// Copying a block to a device, while another one is computed, takes as long as multiplying its
/// weights with so many tokens. Not measured: what PCI Express and the arithmetic of consumer cards
/// amount to (half a byte per weight at 12 GB/s against 2 operations per token at 30 Tflop/s).
const COPYING: f64 = 700.0;

/// What a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Tokens of the largest example in all its contexts, which share a pass.
    pub largest: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
    /// Tokens that a pass may have at most, if larger than `largest`.
    pub micro_batch: usize,
    /// Whether that number was asked for: then it is kept to.
    pub fixed: bool,
    /// Bytes of the optimizer's state per parameter of the adapter.
    pub optimizer_bytes: usize,
    /// Bytes that the program takes beside the engine.
    pub program: u64,
}

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
    /// Blocks, counted from the last, that keep their products.
    pub kept_layers: usize,
    /// Blocks, counted from the last, whose weights stay in memory.
    pub resident_layers: usize,
}

/// A budget that no plan meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run does not fit into {budget} bytes: it takes {smallest} at least")]
pub struct TooSmall {
    /// The budget.
    pub budget: u64,
    /// The smallest budget that would do.
    pub smallest: u64,
}

impl Plan {
    /// Bytes resident at the peak.
    pub fn peak(&self) -> u64 {
        self.program + self.own() + self.weights()
    }

    /// Bytes of weights in memory.
    pub fn weights(&self) -> u64 {
        self.footprint.weights.resident(self.resident_layers)
    }

    /// Whether all weights stay in memory.
    pub fn resident(&self) -> bool {
        self.resident_layers == self.footprint.weights.n_layer
    }

    /// Bytes that the blocks keep.
    pub fn kept(&self) -> u64 {
        self.kept_layers as u64 * self.footprint.kept_layer
    }

    /// Bytes of the engine's own.
    fn own(&self) -> u64 {
        let Footprint { adapter, checkpoints, activations, scratch, .. } = self.footprint;
        adapter + self.optimizer + checkpoints + activations + scratch + self.kept()
    }

    /// Relative time per token: a product with every weight forward, one backward, and the forward
    /// one again where it is not kept; beside them what blocks that come and go cost.
    fn cost(&self) -> f64 {
        let WeightBytes { n_layer, copied, .. } = self.footprint.weights;
        let unpacking = UNPACKING / self.micro_batch as f64;
        let copying = COPYING / self.micro_batch as f64;
        // Blocks are counted from the last.
        let block = |i: usize| {
            let passes = [1.0, if i < self.kept_layers { 1.0 } else { 2.0 }];
            let times = passes.map(|products| match (i < self.resident_layers, copied) {
                (true, _) => products * (1.0 + unpacking),
                (false, true) => f64::max(products * (1.0 + unpacking), copying),
                (false, false) => products * (1.0 + unpacking + RELEASING * unpacking),
            });
            times.iter().sum::<f64>()
        };
        (0..n_layer).map(block).sum()
    }

    /// The fastest plan within `budget` bytes.
    ///
    /// # Errors
    /// If there is none.
    pub fn choose(engine: &Engine, demand: Demand, budget: u64) -> Result<Self, TooSmall> {
        let mut best: Option<Self> = None;
        let mut smallest = u64::MAX;
        for micro_batch in demand.micro_batches() {
            let least = Self::least(engine, demand, micro_batch);
            let all = Self { resident_layers: engine.architecture().n_layer, ..least };
            smallest = smallest.min(least.peak()).min(all.peak());
            // What comes first gets the memory, the other one what is left.
            let orders = [
                least.most_resident(budget).and_then(|plan| plan.most_kept(budget)),
                least.most_kept(budget).and_then(|plan| plan.most_resident(budget)),
            ];
            for plan in orders.into_iter().flatten() {
                if best.is_none_or(|best| plan.cost() < best.cost()) {
                    best = Some(plan);
                }
            }
        }
        best.ok_or(TooSmall { budget, smallest })
    }

    /// This plan with as many blocks staying as the budget allows, if it allows any number.
    fn most_resident(self, budget: u64) -> Option<Self> {
        let numbers = (0..=self.footprint.weights.n_layer).rev();
        let mut plans = numbers.map(|resident_layers| Self { resident_layers, ..self });
        plans.find(|plan| plan.peak() <= budget)
    }

    /// This plan with as many blocks keeping their products as the budget allows, if it allows any
    /// number.
    fn most_kept(self, budget: u64) -> Option<Self> {
        let numbers = (0..=self.footprint.weights.n_layer).rev();
        let mut plans = numbers.map(|kept_layers| Self { kept_layers, ..self });
        plans.find(|plan| plan.peak() <= budget)
    }

    /// The plan for passes of `micro_batch` tokens that keeps nothing, and in which no block stays.
    fn least(engine: &Engine, demand: Demand, micro_batch: usize) -> Self {
        let parameters = engine.adapter().pairs.iter().map(|pair| pair.a.len() + pair.b.len());
        let footprint = engine.footprint(micro_batch.max(demand.largest), demand.longest);
        let optimizer = (parameters.sum::<usize>() * demand.optimizer_bytes) as u64;
        Self {
            program: demand.program,
            footprint,
            // Beside a device, the optimizer works in the host's memory.
            optimizer: if footprint.weights.copied { 0 } else { optimizer },
            micro_batch,
            kept_layers: 0,
            resident_layers: 0,
        }
    }
}

impl Demand {
    /// Numbers of tokens to consider, from the largest: halves, down to the largest example.
    fn micro_batches(&self) -> Vec<usize> {
        let largest = self.micro_batch.max(self.largest);
        if self.fixed {
            return vec![self.micro_batch];
        }
        let halves = std::iter::successors(Some(largest), |&n| Some(n / 2));
        let mut all: Vec<usize> = halves.take_while(|&n| n > self.largest).collect();
        all.push(self.largest);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_halved_down_to_the_largest_example() {
        let demand = |largest, micro_batch, fixed| {
            let (longest, optimizer_bytes, program) = (largest, 8, 0);
            Demand { largest, longest, micro_batch, fixed, optimizer_bytes, program }
                .micro_batches()
        };
        assert_eq!(demand(300, 1024, false), [1024, 512, 300]);
        assert_eq!(demand(1024, 1024, false), [1024]);
        assert_eq!(demand(3000, 1024, false), [3000]);
        assert_eq!(demand(300, 1024, true), [1024]);
    }
}
