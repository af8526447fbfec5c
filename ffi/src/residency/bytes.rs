//! What a model's weights take in memory.

use crate::residency::retention::Retention;

/// Bytes of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightBytes {
    /// Layers of the model.
    pub n_layer: usize,
    /// All layers.
    pub layers: u64,
    /// The largest layer.
    pub layer: u64,
    /// The panels of a layer's weights, at most; `None` where the kernels do not compute.
    pub panels: Option<u64>,
    /// The panels that sampling retains: of a layer's weights, at most, and of the head's.
    pub sampling_panels: [u64; 2],
    /// What a layer that retains its weights' panels no longer needs, at least.
    pub unpacked: u64,
    /// What making panels of a layer's weights costs, in tokens to multiply with; see
    /// [`unpacking::in_tokens`](crate::gguf::unpacking::in_tokens).
    pub unpacking: u32,
    /// Layers in use at a time, of those that come and go.
    pub in_use: usize,
    /// The largest of those, with what is mapped beside it.
    pub layer_in_use: u64,
    /// What is mapped beside the layers that stay, if others do not.
    pub edges: u64,
    /// Everything else, if all layers stay.
    pub others: u64,
    /// The largest part of everything else that is in use at a time, with what is mapped beside it.
    pub others_in_use: u64,
    /// Whether they are copies on a device; else they are the file's own pages.
    pub copied: bool,
}

impl WeightBytes {
    /// Bytes of weights in memory with this retention, panels not counted.
    pub fn resident(&self, retention: Retention) -> u64 {
        let Retention { panels, weights, .. } = retention;
        if weights == self.n_layer {
            return self.layers - panels as u64 * self.unpacked + self.others;
        }
        let staying = weights.saturating_sub(panels) as u64;
        let in_use = self.in_use.min(self.n_layer - weights.max(panels)) as u64;
        let (staying, passing) = (staying * self.layer, in_use * self.layer_in_use);
        if self.copied {
            return staying + passing + self.others_in_use;
        }
        let edges = if staying > 0 { self.edges } else { 0 };
        // The file's pages are given back before those of something else are read.
        let in_use = passing.max(self.others_in_use);
        (staying + edges + in_use).min(self.layers + self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_places_as_large_as_the_largest_layer() {
        let device = WeightBytes {
            n_layer: 4,
            layers: 16,
            layer: 10,
            panels: None,
            sampling_panels: [0; 2],
            unpacked: 0,
            unpacking: 0,
            in_use: 2,
            layer_in_use: 10,
            edges: 0,
            others: 5,
            others_in_use: 5,
            copied: true,
        };
        let resident = |weights| device.resident(Retention { weights, ..Retention::NONE });
        assert_eq!([0, 2, 3, 4].map(resident), [20 + 5, 20 + 20 + 5, 30 + 10 + 5, 16 + 5]);
        // Pages of a file are never more than the file.
        let file = WeightBytes { copied: false, ..device };
        assert_eq!(file.resident(Retention { weights: 3, ..Retention::NONE }), 16 + 5);
    }
}
