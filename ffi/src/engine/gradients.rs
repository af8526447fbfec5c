//! The gradients of an adapter.

use crate::adapter::LoraPair;

/// The gradients of a pair of the adapter, over the micro-batches of a step.
pub(super) struct TrainedPair {
    pub da: Vec<f32>,
    pub db: Vec<f32>,
    pub name_a: String,
    pub name_b: String,
}

/// What one micro-batch adds to a pair's gradients.
pub(super) struct PairGradient {
    /// Index of the pair.
    pub pair: usize,
    pub da: Vec<f32>,
    pub db: Vec<f32>,
}

impl TrainedPair {
    pub fn new(pair: &LoraPair) -> Self {
        Self {
            da: vec![0.0; pair.a.len()],
            db: vec![0.0; pair.b.len()],
            name_a: pair.name_a(),
            name_b: pair.name_b(),
        }
    }

    /// Adds `gradient / scale`; the scale is a power of two.
    pub fn add(&mut self, gradient: &PairGradient, scale: f64) {
        let unscale = (1.0 / scale) as f32;
        let add = |sums: &mut [f32], values: &[f32]| {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * unscale);
        };
        add(&mut self.da, &gradient.da);
        add(&mut self.db, &gradient.db);
    }

    pub fn zero(&mut self) {
        self.da.fill(0.0);
        self.db.fill(0.0);
    }
}
