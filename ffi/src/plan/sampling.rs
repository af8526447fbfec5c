//! How sampling fits into a budget.

use super::budget::TooSmall;
use super::cost::RELEASING;
use crate::engine::Engine;
use crate::engine::sample::footprint::SamplingFootprint;
use crate::engine::sample::request::{SampleOptions, SampleRequest};
use crate::residency::retention::Retention;

/// How sampling uses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplingPlan {
    /// Bytes that the program takes beside the engine.
    pub program: u64,
    /// What everything but keys and values takes.
    pub footprint: SamplingFootprint,
    /// Keys and values.
    pub cache: u64,
    /// Sequences at a time.
    pub n_parallel: usize,
    /// What layers retain: weights and panels of the forward products.
    pub retention: Retention,
}

impl SamplingPlan {
    /// The fastest plan within `budget` bytes with at most `n_parallel` sequences at a time: more of
    /// them share the work of unpacking weights, for which panels take memory, too.
    ///
    /// # Errors
    /// If not even one sequence fits.
    pub fn choose(
        engine: &Engine,
        requests: &[SampleRequest],
        n_parallel: usize,
        program: u64,
        budget: u64,
    ) -> Result<Self, TooSmall> {
        let footprint = engine.sampling_footprint(requests);
        let cache = |n| engine.requests_bytes(requests, n);
        let most = n_parallel.clamp(1, requests.len().max(1));
        Self::fastest(footprint, cache, most, program, budget)
    }

    fn fastest(
        footprint: SamplingFootprint,
        cache: impl Fn(usize) -> u64,
        most: usize,
        program: u64,
        budget: u64,
    ) -> Result<Self, TooSmall> {
        let least = |n_parallel| {
            let cache = cache(n_parallel);
            Self { program, footprint, cache, n_parallel, retention: Retention::NONE }
        };
        let plans = (1..=most).rev().filter_map(|n| least(n).filled(budget));
        let fastest = plans.min_by(|a, b| a.cost().total_cmp(&b.cost()));
        fastest.ok_or(TooSmall { budget, smallest: least(1).peak() })
    }

    /// This plan with as many layers' weights and panels as the budget allows, if it allows any
    /// number.
    fn filled(self, budget: u64) -> Option<Self> {
        let n_layer = self.footprint.weights.n_layer;
        let with = |retention| Self { retention, ..self };
        let fits = |plan: &Self| plan.peak() <= budget;
        let weights = (0..=n_layer).rev().map(|n| Retention { weights: n, ..Retention::NONE });
        let plan = weights.map(with).find(fits)?;
        let panels = (0..=n_layer).rev().map(|n| Retention { panels: n, ..plan.retention });
        panels.map(with).find(fits)
    }

    /// Bytes resident at the peak.
    pub fn peak(&self) -> u64 {
        let SamplingFootprint { adapter, pass, logits, weights } = self.footprint;
        let logits = logits * self.n_parallel as u64;
        let weights = weights.resident(self.retention);
        self.program + adapter + pass + logits + weights + self.panel_bytes() + self.cache
    }

    /// Bytes of the panels.
    pub fn panel_bytes(&self) -> u64 {
        let weights = self.footprint.weights;
        let [layer, head] = weights.sampling_panels;
        let with_head = self.retention.panels == weights.n_layer;
        self.retention.panels as u64 * layer + if with_head { head } else { 0 }
    }

    /// What the engine is asked for.
    pub fn options(&self) -> SampleOptions {
        SampleOptions { memory: self.cache, n_parallel: self.n_parallel }
    }

    /// Relative time of a token: a product with each weight, and a share of making its panels and of
    /// reading it again.
    fn cost(&self) -> f64 {
        let (weights, Retention { panels, weights: staying, .. }) =
            (self.footprint.weights, self.retention);
        let share = |n: usize| n as f64 / weights.n_layer.max(1) as f64;
        let unpacking = f64::from(weights.unpacking) * (1.0 - share(panels));
        let releasing = RELEASING * (1.0 - share(staying.max(panels)));
        1.0 + (unpacking + releasing) / self.n_parallel as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::WeightBytes;

    fn footprint() -> SamplingFootprint {
        let weights = WeightBytes {
            n_layer: 4,
            layers: 40,
            layer: 10,
            panels: Some(50),
            sampling_panels: [25, 30],
            unpacked: 6,
            unpacking: 80,
            in_use: 1,
            layer_in_use: 12,
            edges: 3,
            others: 50,
            others_in_use: 30,
            copied: false,
        };
        SamplingFootprint { adapter: 1, pass: 2, logits: 3, weights }
    }

    fn plan(budget: u64) -> Result<SamplingPlan, TooSmall> {
        SamplingPlan::fastest(footprint(), |n| 100 * n as u64, 8, 5, budget)
    }

    #[test]
    fn sequences_and_panels_share_a_budget() {
        // Everything: weights without what panels replace, panels of layers and head.
        let all = 5 + 1 + 2 + 8 * 3 + (40 - 4 * 6 + 50) + (4 * 25 + 30) + 800;
        let found = plan(all).expect("it fits");
        assert_eq!((found.n_parallel, found.retention.panels, found.peak()), (8, 4, all));
        // A byte less: all panels serve seven sequences better than three layers' serve eight.
        let found = plan(all - 1).expect("it fits");
        assert_eq!((found.n_parallel, found.retention.panels), (7, 4));
        assert_eq!(found.options(), SampleOptions { memory: 700, n_parallel: 7 });
        let least = 5 + 1 + 2 + 3 + 30 + 100;
        assert_eq!(plan(least).expect("it fits").retention, Retention::NONE);
        let budget = least - 1;
        assert_eq!(plan(budget), Err(TooSmall { budget, smallest: least }));
    }
}
