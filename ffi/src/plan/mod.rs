//! The memory plan of a run: what fits into a budget, decided before a byte of it is spent.
//!
//! A step takes the adapter with its optimizer, one checkpoint per block, one block's activations,
//! and whatever blocks keep to save computing them again ([`Footprint`]). Of these, the number of
//! tokens in a pass can be chosen, the number of blocks that keep their products, how many blocks'
//! weights stay in memory, and how many keep the panels that are made of their weights, which is what
//! memory is used for last: a byte saves a third of the time that a byte of products does. The choice
//! depends on sizes alone, never on a measured time, so that the same run is planned the same way
//! every time: the number of tokens decides in which order gradients are summed up.

use crate::engine::{Engine, Footprint, WeightBytes};
use crate::model::architecture::Architecture;

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
    /// Blocks, counted from the last, that keep their weights' panels; they keep their products too.
    pub cached_layers: usize,
    /// Blocks, counted from the last, whose weights stay in memory, or their panels.
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
        self.footprint.weights.resident(self.resident_layers, self.cached_layers)
    }

    /// Bytes that the blocks keep of their products.
    pub fn kept(&self) -> u64 {
        self.kept_layers as u64 * self.footprint.kept_layer
    }

    /// Bytes of the panels that blocks keep.
    pub fn cached(&self) -> u64 {
        self.cached_layers as u64 * self.footprint.cached_layer.unwrap_or(0)
    }

    /// Bytes of the engine's own.
    fn own(&self) -> u64 {
        let Footprint { adapter, checkpoints, activations, scratch, .. } = self.footprint;
        adapter + self.optimizer + checkpoints + activations + scratch + self.kept() + self.cached()
    }

    /// Relative time per token: for each block a product with every weight forward, one backward,
    /// and the forward one again where it is not kept; beside them what making panels costs, and
    /// blocks that come and go. The head's products take as long in any plan; its panels are made
    /// three times, and never kept.
    fn cost(&self, architecture: &Architecture) -> f64 {
        let WeightBytes { n_layer, copied, .. } = self.footprint.weights;
        let unpacking = UNPACKING / self.micro_batch as f64;
        let releasing = if copied { 0.0 } else { RELEASING * unpacking };
        let copying = if copied { COPYING / self.micro_batch as f64 } else { 0.0 };
        // Blocks are counted from the last.
        let block = |i: usize| {
            let passes = [1.0, if i < self.kept_layers { 1.0 } else { 2.0 }];
            let times = passes.map(|products| {
                if i < self.cached_layers {
                    products
                } else if i < self.resident_layers {
                    products * (1.0 + unpacking)
                } else {
                    f64::max(products * (1.0 + unpacking + releasing), copying)
                }
            });
            times.iter().sum::<f64>()
        };
        let all = self.resident_layers == n_layer;
        let head = unpacking + if all { 0.0 } else { releasing };
        let head = 3.0 * architecture.head_share() * n_layer as f64 * head;
        (0..n_layer).map(block).sum::<f64>() + head
    }

    /// The fastest plan within `budget` bytes.
    ///
    /// # Errors
    /// If there is none.
    pub fn choose(engine: &Engine, demand: Demand, budget: u64) -> Result<Self, TooSmall> {
        let architecture = engine.architecture();
        let mut best: Option<Self> = None;
        let mut smallest = u64::MAX;
        for micro_batch in demand.micro_batches() {
            let least = Self::least(engine, demand, micro_batch);
            let all = Self { resident_layers: architecture.n_layer, ..least };
            smallest = smallest.min(least.peak()).min(all.peak());
            // What comes first gets the memory, the others what is left.
            let orders = [
                [Self::most_resident, Self::most_kept, Self::most_cached],
                [Self::most_kept, Self::most_resident, Self::most_cached],
                [Self::most_kept, Self::most_cached, Self::most_resident],
            ];
            for order in orders {
                let plan = order.iter().try_fold(least, |plan, most| most(plan, budget));
                let Some(plan) = plan else { continue };
                if best.is_none_or(|best| plan.cost(architecture) < best.cost(architecture)) {
                    best = Some(plan);
                }
            }
        }
        best.ok_or(TooSmall { budget, smallest })
    }

    /// This plan with as many blocks staying as the budget allows, if it allows any number.
    fn most_resident(self, budget: u64) -> Option<Self> {
        let plan = |resident_layers| Self { resident_layers, ..self };
        self.most(budget, plan, self.footprint.weights.n_layer)
    }

    /// This plan with as many blocks keeping their products as the budget allows.
    fn most_kept(self, budget: u64) -> Option<Self> {
        let plan = |kept_layers| Self { kept_layers, ..self };
        self.most(budget, plan, self.footprint.weights.n_layer)
    }

    /// This plan with as many blocks keeping their weights' panels as the budget allows: none before
    /// all keep their products.
    fn most_cached(self, budget: u64) -> Option<Self> {
        let n_layer = self.footprint.weights.n_layer;
        let can = self.footprint.cached_layer.is_some() && self.kept_layers == n_layer;
        let plan = |cached_layers| Self { cached_layers, ..self };
        self.most(budget, plan, if can { n_layer } else { 0 })
    }

    /// The plan with the largest number up to `n` that stays within the budget, if any does.
    fn most(self, budget: u64, plan: impl Fn(usize) -> Self, n: usize) -> Option<Self> {
        (0..=n).rev().map(plan).find(|plan| plan.peak() <= budget)
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
            cached_layers: 0,
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

    #[test]
    fn panels_take_what_products_leave() {
        let footprint = Footprint {
            adapter: 1,
            checkpoints: 2,
            activations: 3,
            scratch: 4,
            kept_layer: 10,
            cached_layer: Some(25),
            weights: WeightBytes {
                n_layer: 4,
                layers: 40,
                layer: 10,
                unpacked: 6,
                in_use: 1,
                others: 50,
                others_in_use: 30,
                copied: false,
            },
        };
        let least = Plan {
            program: 5,
            footprint,
            optimizer: 7,
            micro_batch: 512,
            kept_layers: 0,
            cached_layers: 0,
            resident_layers: 0,
        };
        assert_eq!(least.weights(), 40);
        let most = |plan: Plan, left: u64| {
            let budget = plan.peak() + left;
            plan.most_kept(budget).and_then(|plan| plan.most_cached(budget)).expect("it fits")
        };
        // A resident file gives back the 6 bytes of each block that keeps its panels.
        for (resident_layers, panels) in [(4, 19), (0, 25)] {
            let least = Plan { resident_layers, ..least };
            for (left, kept_layers, cached_layers) in
                [(9, 0, 0), (39, 3, 0), (40 + panels - 1, 4, 0), (40 + panels, 4, 1), (900, 4, 4)]
            {
                let plan = most(least, left);
                assert_eq!((plan.kept_layers, plan.cached_layers), (kept_layers, cached_layers));
            }
            let device = Footprint { cached_layer: None, ..footprint };
            assert_eq!(most(Plan { footprint: device, ..least }, 900).cached_layers, 0);
        }
        let some = Plan { resident_layers: 2, ..least };
        assert_eq!(some.weights(), 2 * 10 + 10 + 30);
        assert_eq!(
            some.most_resident(some.peak() + 35),
            Some(Plan { resident_layers: 4, ..least })
        );
        assert_eq!(some.most_resident(least.peak() - 1), None);
    }
}
