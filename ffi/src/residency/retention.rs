//! What layers retain in memory from pass to pass.

/// How many layers, counted from the last, retain what would otherwise be computed or read again.
/// The numbers change speed and memory, no result; numbers above the model's layers mean all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Layers whose products the forward pass saves; the backward pass computes those of the others
    /// again.
    pub products: usize,
    /// Layers whose weights' panels stay from pass to pass, in place of the weights; those of the
    /// others are made again for each product. Only the kernels have panels, so that other devices
    /// ignore this.
    pub panels: usize,
    /// Layers whose weights stay in memory. Those of the others come and go: on the CPU their pages
    /// are given back to the system when a layer is done and read again when it is needed; to
    /// another device they are copied while the layer before is computed.
    pub weights: usize,
}

impl Retention {
    /// No layer retains anything.
    pub const NONE: Self = Self { products: 0, panels: 0, weights: 0 };

    /// The same for a model of `n_layer` layers, each number at most that.
    pub fn within(self, n_layer: usize) -> Self {
        let Self { products, panels, weights } = self;
        Self {
            products: products.min(n_layer),
            panels: panels.min(n_layer),
            weights: weights.min(n_layer),
        }
    }
}

/// What panels are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PanelUse {
    /// Both products with a layer's weights. Those with the head's are made for each product.
    Training,
    /// The forward product alone, with the head's weight as well if all layers have panels.
    Sampling,
}

impl Default for Retention {
    /// All weights, nothing else.
    fn default() -> Self {
        Self { weights: usize::MAX, ..Self::NONE }
    }
}
