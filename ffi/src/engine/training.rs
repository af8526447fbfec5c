//! The engine as `cutq_core` trains it.

use std::time::Instant;

use cutq_core::model::{Mode, Model, Parameter, Sequence};

use super::Engine;
use super::batch::Batch;
use super::gradients::TrainedPair;
use super::graphs::LayerRun;
use super::pass::Pending;
use crate::error::EngineError;
use crate::ops::lowering::HeadGradient;
use crate::residency::retention::PanelUse;

impl Model for Engine {
    type Float = f32;
    type Error = EngineError;

    fn forward(&mut self, sequences: &[Sequence<'_>], mode: Mode) -> Result<Vec<f64>, EngineError> {
        self.pending = None;
        self.check(sequences)?;
        self.make_panels(PanelUse::Training)?;
        let batch = Batch::new(sequences);
        match mode {
            Mode::Eval => self.log_probs(&batch),
            Mode::Train { seed } => {
                let pending = self.forward_saving(batch, seed)?;
                let log_probs = pending.targets.iter().map(|t| t.log_prob).collect();
                self.pending = Some(pending);
                Ok(log_probs)
            }
        }
    }

    fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), EngineError> {
        let pending = self.pending.take().ok_or(EngineError::NoForward)?;
        let Pending { batch, residual, d_residual, saved, targets, dropout, constants } = &pending;
        if targets.len() != dlog_probs.len() {
            return Err(EngineError::NoForward);
        }
        let started = Instant::now();
        let n_layer = self.architecture.n_layer;
        let scale = self.ops.gradient_scale(dlog_probs);
        let scaled: Vec<f64> = dlog_probs.iter().map(|weight| weight * scale).collect();
        let gradients = HeadGradient { log_probs: targets, dlog_probs: &scaled };
        let head = self.head(batch)?;
        self.ops.head_backward(&head, gradients, &residual[n_layer], d_residual)?;
        drop(head);
        self.weights.release_others();
        self.timings.head += started.elapsed();
        let started = Instant::now();
        let (mut trained, mut buffer) = (std::mem::take(&mut self.trained), Vec::new());
        let mut layers = (self.lowest()..n_layer).rev();
        let done = layers.try_for_each(|layer| {
            let saved = layer.checked_sub(n_layer - saved.len()).map(|i| saved[i].as_slice());
            let (dropout, constants) = (*dropout, Some(constants));
            let at = LayerRun { layer, batch, dropout, constants, saved };
            self.run_layer_backward(&at, &residual[layer], d_residual, |pair, gradients| {
                trained[pair].add(gradients, scale, &mut buffer);
            })
        });
        self.trained = trained;
        done?;
        self.timings.backward += started.elapsed();
        Ok(())
    }

    fn visit_parameters(&mut self, visit: &mut dyn FnMut(Parameter<'_, f32>)) {
        for (pair, trained) in self.adapter.pairs.iter_mut().zip(&mut self.trained) {
            let gated = pair.b.iter().all(|&x| x == 0.0);
            let (name, grads) = (&trained.name_a, &mut trained.da);
            visit(Parameter { name, values: &mut pair.a, grads, gated });
            let (name, grads) = (&trained.name_b, &mut trained.db);
            visit(Parameter { name, values: &mut pair.b, grads, gated: false });
        }
    }

    fn zero_grads(&mut self) {
        self.trained.iter_mut().for_each(TrainedPair::zero);
    }
}
