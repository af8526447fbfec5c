//! How fast a training step will be, measured on two layers.

use std::time::{Duration, Instant};

use super::Engine;
use super::batch::Batch;
use super::graphs::LayerRun;
use crate::error::EngineError;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;
use crate::ops::lowering::HeadGradient;
use crate::residency::retention::PanelUse;

/// What a layer takes, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerTimes {
    /// Forward.
    pub forward: Duration,
    /// Backward, computing the forward pass again.
    pub backward: Duration,
    /// Backward where its products were saved.
    pub backward_saved: Duration,
}

/// What a pass takes, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Tokens of the pass; half of them are targets.
    pub n_tokens: usize,
    /// A layer that makes its panels for each product.
    pub layer: LayerTimes,
    /// A layer that retains them, if the engine is to retain any; else the same.
    pub with_panels: LayerTimes,
    /// The head forward and backward.
    pub head: Duration,
    /// Copying a layer's weights to the device, which happens while another layer is computed; zero
    /// where layers need not come and go.
    pub copy: Duration,
}

impl Engine {
    /// Measures a pass of `n_tokens` tokens in sequences of `longest`: the first layer and the one
    /// in the middle, whose types often differ, twice each, and the head.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn probe(&mut self, n_tokens: usize, longest: usize) -> Result<Rates, EngineError> {
        self.pending = None;
        let batch = Batch::of_shape(n_tokens, longest);
        let layers = [0, self.architecture.n_layer / 2];
        let mut shapes = vec![[self.architecture.n_embd, n_tokens]; 3];
        shapes.extend(layers.iter().flat_map(|&layer| self.saved_shapes(layer, &batch)));
        let (dropout, n) = (self.pass_dropout(0), shapes.len());
        shapes.extend(self.constant_shapes(&batch, dropout));
        let mut tensors = self.arena.tensors(&self.backend, &shapes)?;
        let constants = self.constants(&batch, dropout, tensors.split_off(n));
        let ([x, y, dy], mut memory) = (&tensors[..3], &tensors[3..]) else { unreachable!() };
        self.embed(&batch.tokens, x);
        let copy = self.time_to_copy()?;
        let mut times = [[Duration::ZERO; 3]; 2];
        for layer in layers {
            let (own, rest) = memory.split_at(self.saved_shapes(layer, &batch).len());
            memory = rest;
            for (i, times) in times.iter_mut().enumerate() {
                let panels = i == 1 && self.retention.panels > 0;
                let with_panels: &[usize] = if panels { &[layer] } else { &[] };
                self.weights.set_panels(&self.backend, with_panels, PanelUse::Training)?;
                let (constants, saved) = (Some(&constants), Some(own));
                let at = LayerRun { layer, batch: &batch, dropout, constants, saved };
                let found = self.probe_layer(&at, [x, y, dy])?;
                times.iter_mut().zip(found).for_each(|(sum, time)| *sum += time);
            }
        }
        self.weights.set_panels(&self.backend, &[], PanelUse::Training)?;
        let [layer, with_panels] = times.map(|sums| {
            let [forward, backward, backward_saved] = sums.map(|sum| sum / layers.len() as u32);
            LayerTimes { forward, backward, backward_saved }
        });
        let head = self.head(&batch)?;
        let mut found = Vec::new();
        let reading = timed(|| self.ops.log_probs(&head, x).map(|log_probs| found = log_probs))?;
        let weights = vec![1.0; found.len()];
        let gradients = HeadGradient { log_probs: &found, dlog_probs: &weights };
        let writing = timed(|| self.ops.head_backward(&head, gradients, x, dy))?;
        Ok(Rates { n_tokens, layer, with_panels, head: reading + writing, copy })
    }

    /// The time to copy the first layer that is not on the device while two others are.
    fn time_to_copy(&self) -> Result<Duration, EngineError> {
        let away = 0..self.architecture.n_layer - self.retention.weights;
        for layer in away.clone().take(2) {
            self.weights.layer(&self.backend, layer)?;
        }
        let mut third =
            away.skip(2).map(|layer| timed(|| self.weights.layer(&self.backend, layer)));
        third.next().unwrap_or(Ok(Duration::ZERO))
    }

    /// Measures a layer as [`LayerTimes`] has it, the second time.
    fn probe_layer(
        &self,
        at: &LayerRun<'_>,
        [x, y, dy]: [&Tensor; 3],
    ) -> Result<[Duration; 3], EngineError> {
        let again = LayerRun { saved: None, ..*at };
        let (mut times, mut buffer) = ([Duration::ZERO; 3], Vec::new());
        let mut read = |_, nodes: [Node<'_>; 2]| {
            nodes.iter().for_each(|node| node.read_into(&mut buffer));
        };
        for _ in 0..2 {
            let forward = timed(|| self.run_layer(at, [x, y]))?;
            dy.zero();
            let backward = timed(|| self.run_layer_backward(&again, x, dy, &mut read))?;
            let backward_saved = timed(|| self.run_layer_backward(at, x, dy, &mut read))?;
            times = [forward, backward, backward_saved];
        }
        Ok(times)
    }
}

fn timed<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}
