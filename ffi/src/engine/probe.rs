//! How fast a training step will be, measured on a few blocks.

use std::time::{Duration, Instant};

use super::passes::Place;
use super::{Engine, EngineError};
use crate::batch::Batch;
use crate::plan::Plan;

/// What a pass takes, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Tokens of the pass; half of them are targets.
    pub n_tokens: usize,
    /// A block forward.
    pub forward: Duration,
    /// A block backward that computes its forward pass again.
    pub backward: Duration,
    /// A block backward that kept it.
    pub backward_kept: Duration,
    /// The head forward and backward.
    pub head: Duration,
    /// Copying a block's weights to the device, which happens while another block is computed; zero
    /// where blocks need not come and go.
    pub copy: Duration,
}

impl Rates {
    /// Tokens per second of a training step with this plan; the optimizer's time is left out.
    pub fn tok_per_s(&self, plan: &Plan) -> f64 {
        let n_layer = plan.footprint.weights.n_layer;
        // Blocks are counted from the last.
        let block = |i: usize| {
            let backward = if i < plan.kept_layers { self.backward_kept } else { self.backward };
            let copy = if i < plan.resident_layers { Duration::ZERO } else { self.copy };
            self.forward.max(copy) + backward.max(copy)
        };
        let seconds = (0..n_layer).map(block).sum::<Duration>() + self.head;
        self.n_tokens as f64 / seconds.as_secs_f64()
    }
}

impl Engine {
    /// Measures a pass of `n_tokens` tokens in sequences of `longest`: the first block and the one
    /// in the middle, whose types often differ, twice each, and the head.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn probe(&mut self, n_tokens: usize, longest: usize) -> Result<Rates, EngineError> {
        self.pending = None;
        let batch = Batch::of_shape(n_tokens, longest);
        let layers = [0, self.architecture.n_layer / 2];
        let mut shapes = vec![[self.architecture.n_embd, n_tokens]; 3];
        shapes.extend(layers.iter().flat_map(|&layer| self.keepable(layer, &batch)));
        let tensors = self.arena.tensors(&self.backend, &shapes)?;
        let ([x, y, dy], mut kept) = (&tensors[..3], &tensors[3..]) else { unreachable!() };
        self.embed(&batch.tokens, x);
        let copy = self.time_to_copy()?;
        let mut times = [Duration::ZERO; 3];
        for layer in layers {
            let (own, rest) = kept.split_at(self.keepable(layer, &batch).len());
            kept = rest;
            for warm in [false, true] {
                let place = |kept| Place { layer, batch: &batch, seed: Some(0), kept };
                let forward = timed(|| self.run_block(&place(Some(own)), [x, y]))?;
                dy.zero();
                let backward = timed(|| self.run_block_backward(&place(None), x, dy))?;
                let backward_kept = timed(|| self.run_block_backward(&place(Some(own)), x, dy))?;
                if warm {
                    let found = [forward, backward, backward_kept];
                    times.iter_mut().zip(found).for_each(|(sum, time)| *sum += time);
                }
            }
        }
        let [forward, backward, backward_kept] = times.map(|sum| sum / layers.len() as u32);
        let head = self.head(&batch)?;
        let mut found = Vec::new();
        let reading = timed(|| head.log_probs(x).map(|log_probs| found = log_probs))?;
        let weights = vec![1.0; found.len()];
        let writing = timed(|| head.backward(&found, &weights, x, dy))?;
        Ok(Rates { n_tokens, forward, backward, backward_kept, head: reading + writing, copy })
    }

    /// The time to copy the first block that is not on the device while two others are.
    fn time_to_copy(&self) -> Result<Duration, EngineError> {
        let away = self.weights.streamed();
        for layer in away.clone().take(2) {
            self.weights.layer(&self.backend, layer)?;
        }
        let mut third =
            away.skip(2).map(|layer| timed(|| self.weights.layer(&self.backend, layer)));
        third.next().unwrap_or(Ok(Duration::ZERO))
    }
}

fn timed<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}
