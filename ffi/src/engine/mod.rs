//! The layer executor: one graph per block, whatever the depth of the model.
//!
//! The forward pass keeps the input of every block, a *checkpoint*. The backward pass goes from the
//! last block to the first: it computes the block again from its checkpoint and then its gradient,
//! in one graph. So the memory of a step is the checkpoints, one block's activations, and the
//! adapter. Where there is more memory, the last blocks keep the results of their products, which
//! are then not computed again, and where there is still more, the panels that the kernels make of
//! their weights.

pub(crate) mod batch;
mod footprint;
pub(crate) mod layer;
mod operations;
mod panels;
mod passes;
mod probe;
pub(crate) mod timings;

pub use footprint::{Footprint, WeightBytes};
pub use probe::{BlockTimes, Rates};

use passes::Place;

use std::num::NonZeroUsize;
use std::time::Instant;

use cutq_core::model::{Mode, Model, Parameter, Sequence};
use cutq_kernels::{Kernels, LogProb, Precision, SimdError};

use crate::adapter::{Adapter, LoraPair};
use crate::engine::batch::Batch;
use crate::engine::timings::Timings;
use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::buffer::{Arena, Tensor};
use crate::ggml::device::Device;
use crate::gguf::file::Gguf;
use crate::model::architecture::{Architecture, ArchitectureError};
use crate::ops::lowering::Lowering;
use crate::plan::Plan;
use crate::residency::weights::Weights;

/// How an [`Engine`] computes.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Where it computes.
    pub device: Device,
    /// Whether the CPU computes with the operations that every device has, instead of its own
    /// kernels: slower, for comparisons. Other devices always do.
    pub portable: bool,
    /// Threads; all available ones by default.
    pub n_threads: usize,
    /// Arithmetic of the products with frozen weights.
    pub precision: Precision,
    /// Blocks, counted from the last, whose products the forward pass keeps; the backward pass
    /// computes those of the others again. Changes speed and memory, no result.
    pub kept_layers: usize,
    /// Blocks, counted from the last, the panels of whose weights are kept from pass to pass; those
    /// of the others are made anew. The kernels' only, so none on other devices. Changes speed and
    /// memory, no result.
    pub cached_layers: usize,
    /// Blocks, counted from the last, whose weights stay in memory. Those of the others come and go:
    /// on the CPU their pages are given back to the system when a block is done and read again when
    /// it is needed; to another device they are copied while the block before is computed. Changes
    /// speed and memory, no result.
    pub resident_layers: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let n_threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            device: Device::cpu(),
            portable: false,
            n_threads,
            precision: Precision::Int8,
            kept_layers: 0,
            cached_layers: 0,
            resident_layers: usize::MAX,
        }
    }
}

/// Why the engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The model cannot be trained.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// A graph did not run.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// `CUTQ_SIMD` asks for what the CPU lacks.
    #[error(transparent)]
    Simd(#[from] SimdError),
    /// A token id that the model does not have.
    #[error(
        "token {token} is outside the model's vocabulary of {n_vocab} (hint: the tokenizer belongs to another model)"
    )]
    Token {
        /// The id.
        token: u32,
        /// Entries of the vocabulary.
        n_vocab: usize,
    },
    /// A sequence that the model cannot hold.
    #[error("a sequence of {len} tokens: the model's context holds {context_length}")]
    TooLong {
        /// Its length.
        len: usize,
        /// What the model holds.
        context_length: usize,
    },
    /// A sequence without a prompt or without a response.
    #[error(
        "a sequence with {prompt} prompt and {response} response tokens: both must be positive"
    )]
    Empty {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the response.
        response: usize,
    },
    /// `backward` without a forward pass in training mode before it.
    #[error("backward needs a forward pass in training mode, with as many targets, before it")]
    NoForward,
}

/// A quantized model with a trainable adapter, on one device.
pub struct Engine {
    backend: Backend,
    lowering: Lowering,
    precision: Precision,
    n_threads: usize,
    kept_layers: usize,
    cached_layers: usize,
    arena: Arena,
    /// Where the panels are that are kept.
    panels: Arena,
    /// The blocks that they belong to.
    panels_of: Vec<usize>,
    gguf: Gguf,
    architecture: Architecture,
    weights: Weights,
    adapter: Adapter,
    trained: Vec<TrainedPair>,
    /// What the latest training forward pass left for the backward pass.
    pending: Option<Pending>,
    timings: Timings,
}

/// The gradients of a pair of the adapter.
struct TrainedPair {
    da: Vec<f32>,
    db: Vec<f32>,
    name_a: String,
    name_b: String,
}

/// What one micro-batch adds to a pair's gradients.
struct PairGradient {
    /// Index of the pair.
    pair: usize,
    da: Vec<f32>,
    db: Vec<f32>,
}

struct Pending {
    batch: Batch,
    /// The residual stream before each block, and after the last.
    stream: Vec<Tensor>,
    /// Its gradient.
    d_stream: Tensor,
    /// What the last blocks kept.
    kept: Vec<Vec<Tensor>>,
    targets: Vec<LogProb>,
    seed: u64,
}

impl Engine {
    /// Opens `gguf` for training `adapter`.
    ///
    /// # Errors
    /// If the model is not supported or memory runs out.
    pub fn open(
        gguf: &Gguf,
        adapter: Adapter,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let architecture = Architecture::from_gguf(gguf)?;
        let EngineOptions { device, precision, .. } = options;
        let backend = Backend::open(device, options.n_threads)?;
        let lowering = match device.is_cpu() && !options.portable {
            true => Lowering::Kernels { kernels: Kernels::detect()?, precision },
            false => Lowering::Portable { precision },
        };
        let copied = matches!(lowering, Lowering::Portable { .. });
        let mut weights = Weights::open(gguf, &architecture, copied)?;
        weights.keep(options.resident_layers);
        Ok(Self {
            trained: adapter.pairs.iter().map(TrainedPair::new).collect(),
            lowering,
            precision,
            n_threads: options.n_threads,
            kept_layers: options.kept_layers.min(architecture.n_layer),
            cached_layers: options.cached_layers.min(architecture.n_layer),
            arena: Arena::default(),
            panels: Arena::default(),
            panels_of: Vec::new(),
            gguf: gguf.clone(),
            backend,
            architecture,
            weights,
            adapter,
            pending: None,
            timings: Timings::default(),
        })
    }

    /// The adapter as it stands.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.backend.device()
    }

    /// The shape of the model.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Keeps what `plan` says, see [`EngineOptions`]; between two steps.
    pub fn keep(&mut self, plan: &Plan) {
        self.pending = None;
        self.kept_layers = plan.kept_layers.min(self.architecture.n_layer);
        self.cached_layers = plan.cached_layers.min(self.architecture.n_layer);
        self.weights.keep(plan.resident_layers);
    }

    /// The most bytes of the device's memory that were allocated at a time since this was asked
    /// last: weights, what passes leave, and the intermediate tensors of graphs. What ggml's backend
    /// and the driver take for themselves is not among them.
    pub fn take_peak_bytes(&self) -> u64 {
        self.backend.meter().take_peak() as u64
    }

    /// The model's file.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// The time spent since the last call of this.
    pub fn take_timings(&mut self) -> Timings {
        std::mem::take(&mut self.timings)
    }

    fn check(&self, sequences: &[Sequence<'_>]) -> Result<(), EngineError> {
        let (n_vocab, context_length) =
            (self.architecture.n_vocab, self.architecture.context_length);
        for sequence in sequences {
            let (prompt, response) = (sequence.prompt.len(), sequence.response.len());
            if prompt == 0 || response == 0 {
                return Err(EngineError::Empty { prompt, response });
            }
            if prompt + response > context_length {
                return Err(EngineError::TooLong { len: prompt + response, context_length });
            }
            let mut tokens = sequence.prompt.iter().chain(sequence.response);
            if let Some(&token) = tokens.find(|&&t| t as usize >= n_vocab) {
                return Err(EngineError::Token { token, n_vocab });
            }
        }
        Ok(())
    }
}

impl Model for Engine {
    type Float = f32;
    type Error = EngineError;

    fn forward(&mut self, sequences: &[Sequence<'_>], mode: Mode) -> Result<Vec<f64>, EngineError> {
        self.pending = None;
        self.check(sequences)?;
        self.ensure_panels()?;
        let seed = match mode {
            Mode::Train { seed } => Some(seed),
            Mode::Eval => None,
        };
        let batch = Batch::new(sequences);
        let (log_probs, pending) = match seed {
            None => (self.log_probs(&batch)?, None),
            Some(seed) => {
                let pending = self.forward_kept(batch, seed)?;
                (pending.targets.iter().map(|t| t.log_prob).collect(), Some(pending))
            }
        };
        self.pending = pending;
        Ok(log_probs)
    }

    fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), EngineError> {
        let pending = self.pending.take().ok_or(EngineError::NoForward)?;
        if pending.targets.len() != dlog_probs.len() {
            return Err(EngineError::NoForward);
        }
        let started = Instant::now();
        let n_layer = self.architecture.n_layer;
        let (stream, d_stream) = (&pending.stream[n_layer], &pending.d_stream);
        let scale = self.lowering.gradient_scale(dlog_probs);
        let scaled: Vec<f64> = dlog_probs.iter().map(|weight| weight * scale).collect();
        let head = self.head(&pending.batch)?;
        head.backward(&pending.targets, &scaled, stream, d_stream)?;
        drop(head);
        self.weights.release_head();
        self.timings.head += started.elapsed();
        let started = Instant::now();
        for layer in (self.lowest()..n_layer).rev() {
            let Pending { batch, stream, d_stream, kept, seed, .. } = &pending;
            let kept = layer.checked_sub(n_layer - kept.len()).map(|i| kept[i].as_slice());
            let at = Place { layer, batch, seed: Some(*seed), kept };
            for gradient in self.run_block_backward(&at, &stream[layer], d_stream)? {
                let trained = &mut self.trained[gradient.pair];
                add(&mut trained.da, &gradient.da, scale);
                add(&mut trained.db, &gradient.db, scale);
            }
        }
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
        for pair in &mut self.trained {
            pair.da.fill(0.0);
            pair.db.fill(0.0);
        }
    }
}

/// Adds `scaled / scale` to `sum`; the scale is a power of two.
fn add(sum: &mut [f32], scaled: &[f32], scale: f64) {
    let unscale = (1.0 / scale) as f32;
    sum.iter_mut().zip(scaled).for_each(|(sum, value)| *sum += value * unscale);
}

impl TrainedPair {
    fn new(pair: &LoraPair) -> Self {
        Self {
            da: vec![0.0; pair.a.len()],
            db: vec![0.0; pair.b.len()],
            name_a: pair.name_a(),
            name_b: pair.name_b(),
        }
    }
}
