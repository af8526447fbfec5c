//! The fastest plan within a budget.

use super::Plan;
use super::demand::Demand;
use crate::engine::Engine;
use crate::engine::footprint::Footprint;
use crate::residency::retention::Retention;

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
    /// The fastest plan within `budget` bytes for a run of `engine`.
    ///
    /// # Errors
    /// If there is none.
    pub fn choose(engine: &Engine, demand: Demand, budget: u64) -> Result<Self, TooSmall> {
        let (n_params, head_share) =
            (engine.adapter().n_params(), engine.architecture().head_share());
        let footprint = |n_tokens, longest| engine.footprint(n_tokens, longest);
        Self::fastest(demand, budget, n_params, head_share, footprint)
    }

    /// [`Plan::choose`], given what a pass of a number of tokens takes, in sequences of a length.
    fn fastest(
        demand: Demand,
        budget: u64,
        n_params: usize,
        head_share: f64,
        footprint: impl Fn(usize, usize) -> Footprint,
    ) -> Result<Self, TooSmall> {
        let mut best: Option<Self> = None;
        let mut smallest = u64::MAX;
        for micro_batch in demand.micro_batches() {
            let of_pass = footprint(micro_batch.max(demand.largest), demand.longest);
            let least = Self::least(demand, micro_batch, n_params, of_pass);
            let all = least.with(Retention { weights: of_pass.weights.n_layer, ..Retention::NONE });
            smallest = smallest.min(least.peak()).min(all.peak());
            // What comes first gets the memory, the others what is left.
            let orders = [
                [Self::most_weights, Self::most_products, Self::most_panels],
                [Self::most_products, Self::most_weights, Self::most_panels],
                [Self::most_products, Self::most_panels, Self::most_weights],
            ];
            for order in orders {
                let plan = order.iter().try_fold(least, |plan, most| most(plan, budget));
                let Some(plan) = plan else { continue };
                if best.is_none_or(|best| plan.cost(head_share) < best.cost(head_share)) {
                    best = Some(plan);
                }
            }
        }
        best.ok_or(TooSmall { budget, smallest })
    }

    /// The plan for passes of `micro_batch` tokens that retains nothing.
    fn least(demand: Demand, micro_batch: usize, n_params: usize, footprint: Footprint) -> Self {
        Self {
            program: demand.program,
            footprint,
            // Beside a device, the optimizer works in the host's memory.
            optimizer: match footprint.weights.copied {
                true => 0,
                false => (n_params * demand.optimizer_bytes) as u64,
            },
            micro_batch,
            retention: Retention::NONE,
        }
    }

    fn with(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// This plan with as many layers' weights staying as the budget allows, if it allows any
    /// number.
    fn most_weights(self, budget: u64) -> Option<Self> {
        let plan = |weights| self.with(Retention { weights, ..self.retention });
        self.most(budget, plan, self.footprint.weights.n_layer)
    }

    /// This plan with as many layers retaining their products as the budget allows.
    fn most_products(self, budget: u64) -> Option<Self> {
        let plan = |products| self.with(Retention { products, ..self.retention });
        self.most(budget, plan, self.footprint.weights.n_layer)
    }

    /// This plan with as many layers retaining their weights' panels as the budget allows: none
    /// before all retain their products.
    fn most_panels(self, budget: u64) -> Option<Self> {
        let weights = self.footprint.weights;
        let can = weights.panels.is_some() && self.retention.products == weights.n_layer;
        let plan = |panels| self.with(Retention { panels, ..self.retention });
        self.most(budget, plan, if can { weights.n_layer } else { 0 })
    }

    /// The plan with the largest number up to `n` that stays within the budget, if any does.
    fn most(self, budget: u64, plan: impl Fn(usize) -> Self, n: usize) -> Option<Self> {
        (0..=n).rev().map(plan).find(|plan| plan.peak() <= budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::WeightBytes;

    fn footprint() -> Footprint {
        Footprint {
            adapter: 1,
            checkpoints: 2,
            activations: 3,
            scratch: 4,
            products: 10,
            weights: WeightBytes {
                n_layer: 4,
                layers: 40,
                layer: 10,
                panels: Some(25),
                sampling_panels: [12, 9],
                unpacked: 6,
                unpacking: 85,
                in_use: 1,
                layer_in_use: 12,
                edges: 3,
                others: 50,
                others_in_use: 30,
                copied: false,
            },
        }
    }

    fn least() -> Plan {
        Plan {
            program: 5,
            footprint: footprint(),
            optimizer: 7,
            micro_batch: 512,
            retention: Retention::NONE,
        }
    }

    #[test]
    fn panels_take_what_products_leave() {
        assert_eq!(least().weight_bytes(), 30);
        let most = |plan: Plan, left: u64| {
            let budget = plan.peak() + left;
            plan.most_products(budget).and_then(|plan| plan.most_panels(budget)).expect("it fits")
        };
        // A resident file gives back the 6 bytes of each layer that retains its panels.
        for (weights, per_layer) in [(4, 19), (0, 25)] {
            let least = least().with(Retention { weights, ..Retention::NONE });
            for (left, products, panels) in [
                (9, 0, 0),
                (39, 3, 0),
                (40 + per_layer - 1, 4, 0),
                (40 + per_layer, 4, 1),
                (900, 4, 4),
            ] {
                let expected = Retention { products, panels, weights };
                assert_eq!(most(least, left).retention, expected);
            }
            let weights = WeightBytes { panels: None, ..footprint().weights };
            let device = Footprint { weights, ..footprint() };
            assert_eq!(most(Plan { footprint: device, ..least }, 900).retention.panels, 0);
        }
    }

    #[test]
    fn the_fastest_plan_uses_what_the_budget_allows() {
        let demand = Demand {
            largest: 100,
            longest: 100,
            micro_batch: 400,
            fixed: false,
            optimizer_bytes: 7,
            program: 5,
        };
        // Checkpoints grow with the tokens of a pass; everything else stays as it is.
        let of_pass = |n: usize, _| Footprint { checkpoints: n as u64, ..footprint() };
        let choose = |budget| Plan::fastest(demand, budget, 1, 0.1, of_pass);
        let all = Retention { products: 4, panels: 4, weights: 4 };
        let plan = choose(u64::MAX).expect("everything fits");
        assert_eq!((plan.micro_batch, plan.retention), (400, all));
        // Of a pass of 100 tokens, with a layer in use, or the head or the embedding.
        let smallest = 5 + 1 + 7 + 100 + 3 + 4 + 30;
        let plan = choose(smallest).expect("the least fits");
        assert_eq!((plan.micro_batch, plan.retention), (100, Retention::NONE));
        let budget = smallest - 1;
        assert_eq!(choose(budget), Err(TooSmall { budget, smallest }));
    }

    #[test]
    fn as_many_weights_stay_as_fit() {
        let staying = |weights| least().with(Retention { weights, ..Retention::NONE });
        let some = staying(2);
        assert_eq!(some.weight_bytes(), (2 * 10 + 3) + 30);
        assert_eq!(some.most_weights(some.peak() + 37), Some(staying(4)));
        assert_eq!(some.most_weights(least().peak() - 1), None);
    }
}
