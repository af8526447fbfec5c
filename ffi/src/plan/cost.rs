//! The relative time of a plan, by which plans are compared.

use super::Plan;
use crate::residency::bytes::WeightBytes;
use crate::residency::retention::Retention;

/// Giving pages back and reading them again adds as much to a pass over the weights as multiplying
/// them with this many tokens.
pub(super) const RELEASING: f64 = 42.0;

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
        let WeightBytes { n_layer, copied, unpacking, .. } = self.footprint.weights;
        let Retention { products, panels, weights } = self.retention;
        let n_tokens = self.micro_batch as f64;
        let unpacking = f64::from(unpacking) / n_tokens;
        let [releasing, copying] = match copied {
            true => [0.0, COPYING / n_tokens],
            false => [RELEASING / n_tokens, 0.0],
        };
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
