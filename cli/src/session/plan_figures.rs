//! A plan for people and machines.

use cutq_ffi::{Engine, Plan};
use serde::{Deserialize, Serialize};

use super::memory::size;

/// The parts of a plan, in bytes, and what they come from.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanFigures {
    /// Resident at the peak: the sum of all parts below.
    pub peak_bytes: u64,
    pub program_bytes: u64,
    pub adapter_bytes: u64,
    pub optimizer_bytes: u64,
    pub checkpoint_bytes: u64,
    pub activation_bytes: u64,
    pub product_bytes: u64,
    pub panel_bytes: u64,
    pub scratch_bytes: u64,
    pub weight_bytes: u64,
    /// Tokens in a pass.
    pub micro_batch: usize,
    /// Layers whose products are retained for the backward pass.
    pub product_layers: usize,
    /// Layers whose panels are retained.
    pub panel_layers: usize,
    /// Layers whose weights are retained.
    pub weight_layers: usize,
    pub n_layer: usize,
    /// Whether the figures are those of a device's memory, into which weights are copied.
    pub on_device: bool,
}

impl PlanFigures {
    pub fn new(plan: &Plan, engine: &Engine) -> Self {
        let Plan { program, footprint, optimizer, micro_batch, retention } = *plan;
        Self {
            peak_bytes: plan.peak(),
            program_bytes: program,
            adapter_bytes: footprint.adapter,
            optimizer_bytes: optimizer,
            checkpoint_bytes: footprint.checkpoints,
            activation_bytes: footprint.activations,
            product_bytes: plan.product_bytes(),
            panel_bytes: plan.panel_bytes(),
            scratch_bytes: footprint.scratch,
            weight_bytes: plan.weight_bytes(),
            micro_batch,
            product_layers: retention.products,
            panel_layers: retention.panels,
            weight_layers: retention.weights,
            n_layer: engine.architecture().n_layer,
            on_device: footprint.weights.copied,
        }
    }

    /// One line, for the beginning of a run.
    pub fn line(&self) -> String {
        let Self { peak_bytes, micro_batch, product_layers, weight_layers, n_layer, .. } = self;
        let panels = match self.panel_layers {
            0 => String::new(),
            layers => format!(", panels of {layers}"),
        };
        let weights = match weight_layers == n_layer {
            true => String::new(),
            false => format!(", weights of {weight_layers}"),
        };
        format!(
            "memory: {} at the peak; {micro_batch} tokens in a pass; retained: products of \
             {product_layers} of {n_layer} layers{panels}{weights}",
            size(*peak_bytes)
        )
    }

    /// A table of the parts.
    pub fn table(&self) -> String {
        let Self { micro_batch, product_layers, panel_layers, weight_layers, n_layer, .. } = self;
        let file = if self.on_device { "weights" } else { "model's file" };
        let weights = match (weight_layers == n_layer, self.on_device) {
            (true, false) => format!("{file}, resident"),
            (true, true) => format!("{file}, all on the device"),
            (false, _) => format!("{file}, {weight_layers} of {n_layer} layers retained"),
        };
        let of = |what: &str, layers: &usize| format!("{what} of {layers} of {n_layer} layers");
        let parts = [
            (weights, self.weight_bytes),
            ("program".to_owned(), self.program_bytes),
            ("adapter and gradients".to_owned(), self.adapter_bytes),
            ("optimizer".to_owned(), self.optimizer_bytes),
            (format!("checkpoints, {micro_batch} tokens in a pass"), self.checkpoint_bytes),
            ("activations of a layer".to_owned(), self.activation_bytes),
            (of("retained products", product_layers), self.product_bytes),
            (of("retained panels", panel_layers), self.panel_bytes),
            ("scratch".to_owned(), self.scratch_bytes),
            ("peak".to_owned(), self.peak_bytes),
        ];
        parts.iter().map(|(name, bytes)| format!("{name:42} {:>10}\n", size(*bytes))).collect()
    }
}
