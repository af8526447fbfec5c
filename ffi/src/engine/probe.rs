//! How fast a training step will be, measured on a few blocks.

use std::time::{Duration, Instant};

use super::passes::Place;
use super::{Engine, EngineError};
use crate::engine::batch::Batch;
use crate::ggml::buffer::Tensor;
use crate::plan::Plan;

/// What a block takes, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTimes {
    /// Forward.
    pub forward: Duration,
    /// Backward, computing the forward pass again.
    pub backward: Duration,
    /// Backward where its products were kept.
    pub backward_kept: Duration,
}

/// What a pass takes, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Tokens of the pass; half of them are targets.
    pub n_tokens: usize,
    /// A block that makes its panels anew.
    pub block: BlockTimes,
    /// A block that keeps them, if the engine is to keep any; else the same.
    pub cached: BlockTimes,
    /// The head forward and backward.
    pub head: Duration,
    /// Copying a block's weights to the device, which happens while another block is computed; zero
    /// where blocks need not come and go.
    pub copy: Duration,
}

impl Rates {
    /// Tokens per second of a training step with this plan; the optimizer's time is left out.
    pub fn tok_per_s(&self, plan: &Plan) -> f64 {
        // Blocks are counted from the last.
        let block = |i: usize| {
            let times = if i < plan.cached_layers { self.cached } else { self.block };
            let backward = if i < plan.kept_layers { times.backward_kept } else { times.backward };
            let copy = if i < plan.resident_layers { Duration::ZERO } else { self.copy };
            times.forward.max(copy) + backward.max(copy)
        };
        let n_layer = plan.footprint.weights.n_layer;
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
        let mut times = [[Duration::ZERO; 3]; 2];
        for layer in layers {
            let (own, rest) = kept.split_at(self.keepable(layer, &batch).len());
            kept = rest;
            for (cached, times) in times.iter_mut().enumerate() {
                let panels = cached == 1 && self.cached_layers > 0;
                self.make_panels(if panels { vec![layer] } else { Vec::new() })?;
                let found = self.probe_block(layer, &batch, own, [x, y, dy])?;
                times.iter_mut().zip(found).for_each(|(sum, time)| *sum += time);
            }
        }
        self.drop_panels();
        let [block, cached] = times.map(|sums| {
            let [forward, backward, backward_kept] = sums.map(|sum| sum / layers.len() as u32);
            BlockTimes { forward, backward, backward_kept }
        });
        let head = self.head(&batch)?;
        let mut found = Vec::new();
        let reading = timed(|| head.log_probs(x).map(|log_probs| found = log_probs))?;
        let weights = vec![1.0; found.len()];
        let writing = timed(|| head.backward(&found, &weights, x, dy))?;
        Ok(Rates { n_tokens, block, cached, head: reading + writing, copy })
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

    /// Measures a block as [`BlockTimes`] has it, the second time.
    fn probe_block(
        &self,
        layer: usize,
        batch: &Batch,
        own: &[Tensor],
        [x, y, dy]: [&Tensor; 3],
    ) -> Result<[Duration; 3], EngineError> {
        let place = |kept| Place { layer, batch, seed: Some(0), kept };
        let mut times = [Duration::ZERO; 3];
        for _ in 0..2 {
            let forward = timed(|| self.run_block(&place(Some(own)), [x, y]))?;
            dy.zero();
            let backward = timed(|| self.run_block_backward(&place(None), x, dy))?;
            let backward_kept = timed(|| self.run_block_backward(&place(Some(own)), x, dy))?;
            times = [forward, backward, backward_kept];
        }
        Ok(times)
    }
}

fn timed<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}
