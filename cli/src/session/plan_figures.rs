//! A plan for people and machines.

use cutq_ffi::{Engine, Plan};
use serde::{Deserialize, Serialize};

use super::memory::size;

/// The parts of a plan, in bytes, and what they come from.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PlanFigures {
    /// Resident at the peak, everything included.
    pub peak_bytes: u64,
    pub program_bytes: u64,
    pub adapter_bytes: u64,
    pub optimizer_bytes: u64,
    pub checkpoint_bytes: u64,
    pub activation_bytes: u64,
    pub kept_bytes: u64,
    pub cached_bytes: u64,
    pub scratch_bytes: u64,
    pub weight_bytes: u64,
    pub micro_batch: usize,
    pub kept_layers: usize,
    pub resident_layers: usize,
    pub cached_layers: usize,
    pub n_layer: usize,
    /// Whether the figures are those of a device's memory, into which weights are copied.
    pub on_device: bool,
}

impl PlanFigures {
    pub fn new(plan: &Plan, engine: &Engine) -> Self {
        let Plan { program, footprint, optimizer, micro_batch, resident_layers, .. } = *plan;
        Self {
            peak_bytes: plan.peak(),
            program_bytes: program,
            adapter_bytes: footprint.adapter,
            optimizer_bytes: optimizer,
            checkpoint_bytes: footprint.checkpoints,
            activation_bytes: footprint.activations,
            kept_bytes: plan.kept(),
            cached_bytes: plan.cached(),
            scratch_bytes: footprint.scratch,
            weight_bytes: plan.weights(),
            micro_batch,
            kept_layers: plan.kept_layers,
            cached_layers: plan.cached_layers,
            resident_layers,
            n_layer: engine.architecture().n_layer,
            on_device: footprint.weights.copied,
        }
    }

    /// One line, for the beginning of a run.
    pub fn line(&self) -> String {
        let Self { peak_bytes, micro_batch, kept_layers, resident_layers, n_layer, .. } = self;
        let panels = match self.cached_layers {
            0 => String::new(),
            cached => format!(", {cached} their weights' panels"),
        };
        let weights = match (resident_layers == n_layer, self.on_device) {
            (true, _) => String::new(),
            (false, true) => format!(", {resident_layers} stay on the device"),
            (false, false) => format!(", {resident_layers} stay in memory"),
        };
        format!(
            "memory: {} at the peak; {micro_batch} tokens in a pass, {kept_layers} of {n_layer} blocks \
             keep their products{panels}{weights}",
            size(*peak_bytes)
        )
    }

    /// A table of the parts.
    pub fn table(&self) -> String {
        let Self { micro_batch, kept_layers, cached_layers, resident_layers, n_layer, .. } = self;
        let weights = match (resident_layers == n_layer, self.on_device) {
            (true, false) => "model's file, resident".to_owned(),
            (false, false) => format!("model's file, {resident_layers} of {n_layer} blocks stay"),
            (true, true) => "weights, all on the device".to_owned(),
            (false, true) => format!("weights, {resident_layers} of {n_layer} blocks stay"),
        };
        let parts = [
            (weights, self.weight_bytes),
            ("program".to_owned(), self.program_bytes),
            ("adapter and gradients".to_owned(), self.adapter_bytes),
            ("optimizer".to_owned(), self.optimizer_bytes),
            (format!("checkpoints, {micro_batch} tokens in a pass"), self.checkpoint_bytes),
            ("activations of a block".to_owned(), self.activation_bytes),
            (format!("products kept by {kept_layers} of {n_layer} blocks"), self.kept_bytes),
            (format!("panels kept by {cached_layers} of {n_layer} blocks"), self.cached_bytes),
            ("scratch".to_owned(), self.scratch_bytes),
            ("peak".to_owned(), self.peak_bytes),
        ];
        parts.iter().map(|(name, bytes)| format!("{name:42} {:>10}\n", size(*bytes))).collect()
    }
}
