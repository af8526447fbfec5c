//! The gradients of an adapter.

use crate::adapter::LoraPair;
use crate::ggml::node::Node;

/// The gradients of a pair of the adapter, over the micro-batches of a step.
pub(super) struct TrainedPair {
    pub da: Vec<f32>,
    pub db: Vec<f32>,
    pub name_a: String,
    pub name_b: String,
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

    /// Adds what a micro-batch adds to the gradients of A and B, outputs of a graph that has run, over
    /// `scale`, a power of two. The `buffer` is overwritten.
    pub fn add(&mut self, gradients: [Node<'_>; 2], scale: f64, buffer: &mut Vec<f32>) {
        let unscale = (1.0 / scale) as f32;
        for (sums, gradient) in [&mut self.da, &mut self.db].into_iter().zip(gradients) {
            gradient.read_into(buffer);
            sums.iter_mut().zip(&*buffer).for_each(|(sum, value)| *sum += value * unscale);
        }
    }

    pub fn zero(&mut self) {
        self.da.fill(0.0);
        self.db.fill(0.0);
    }
}
