//! The relative time of a plan, by which plans are compared.

use super::Plan;
use crate::residency::bytes::WeightBytes;
use crate::residency::retention::Retention;

/// Unpacking a weight costs as much as multiplying it with this many tokens. Measured in the
/// kernels' benchmark: 0.28 ns against 0.0033 ns per token.
const UNPACKING: f64 = 85.0;

/// What giving pages back and reading them again adds to a pass over the weights, relative to
/// multiplying them with [`UNPACKING`] tokens.
const RELEASING: f64 = 0.5;

/// Copying a layer to a device, while another one is computed, takes as long as multiplying its
/// weights with this many tokens. Not measured: what PCI Express and the arithmetic of consumer
/// cards amount to (half a byte per weight at 12 GB/s against 2 operations per token at 30
/// Tflop/s).
const COPYING: f64 = 700.0;

impl Plan {
    /// Relative time per token: for each layer a product with every weight forward, one backward,
    /// and the forward one again where it is not retained; beside them what making panels costs,
    /// and layers that come and go. The head's products take as long in any plan; its panels are
    /// made three times, and never retained. `head_share` is
    /// [`Architecture::head_share`](crate::Architecture::head_share).
    pub(super) fn cost(&self, head_share: f64) -> f64 {
        let WeightBytes { n_layer, copied, .. } = self.footprint.weights;
        let Retention { products, panels, weights } = self.retention;
        let unpacking = UNPACKING / self.micro_batch as f64;
        let releasing = if copied { 0.0 } else { RELEASING * unpacking };
        let copying = if copied { COPYING / self.micro_batch as f64 } else { 0.0 };
        // Layers are counted from the last.
        let layer = |i: usize| {
            let passes = [1.0, if i < products { 1.0 } else { 2.0 }];
            let times = passes.map(|products| {
                if i < panels {
                    products
                } else if i < weights {
                    products * (1.0 + unpacking)
                } else {
                    f64::max(products * (1.0 + unpacking + releasing), copying)
                }
            });
            times.iter().sum::<f64>()
        };
        let all = weights == n_layer;
        let head = unpacking + if all { 0.0 } else { releasing };
        let head = 3.0 * head_share * n_layer as f64 * head;
        (0..n_layer).map(layer).sum::<f64>() + head
    }
}
