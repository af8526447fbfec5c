//! The layer executor: one graph per layer, whatever the depth of the model.
//!
//! The forward pass stores the input of every layer, a *checkpoint*. The backward pass goes from
//! the last layer to the first: it computes the layer again from its checkpoint and then its
//! gradient, in one graph. So the memory of a step is the checkpoints, one layer's activations, and
//! the adapter. Where there is more memory, the last layers retain the results of their products,
//! which are then not computed again, and where there is still more, the panels that the kernels
//! make of their weights ([`Retention`]).
//!
//! | file | job |
//! |---|---|
//! | `batch`, `constants` | the pack of sequences, and what all layers read |
//! | `layer` | the forward pass of one layer, for every family |
//! | `graphs` | graphs of a layer, forward and backward |
//! | `pass` | runs them: layer after layer forward, and backward from the checkpoints |
//! | `training` | `cutq_core`'s `Model` |
//! | `sample` | answers to prompts, many at a time |
//! | `footprint`, `operations`, `probe` | a step's memory, what it asks of a device, its time |

mod batch;
mod constants;
pub(crate) mod footprint;
mod gradients;
mod graphs;
mod layer;
mod operations;
pub(crate) mod options;
mod pass;
pub(crate) mod probe;
pub(crate) mod sample;
pub(crate) mod timings;
mod training;

use cutq_core::model::Sequence;
use cutq_kernels::{Kernels, Level, Precision};

use crate::adapter::Adapter;
use crate::error::EngineError;
use crate::ggml::arena::Arena;
use crate::ggml::backend::Backend;
use crate::ggml::device::Device;
use crate::gguf::file::Gguf;
use crate::model::architecture::Architecture;
use crate::ops::kernels::ByKernels;
use crate::ops::lowering::Lowering;
use crate::ops::portable::Portable;
use crate::residency::Residency;
use crate::residency::device::OnDevice;
use crate::residency::mapped::Mapped;
use crate::residency::retention::Retention;

use gradients::TrainedPair;
use options::EngineOptions;
use pass::Pending;
use sample::Cache;
use timings::Timings;

/// A quantized model with a trainable adapter, on one device.
pub struct Engine {
    backend: Backend,
    ops: Box<dyn Lowering>,
    weights: Box<dyn Residency>,
    /// Whether the device's own copies of the weights are computed with, by portable operations;
    /// else the kernels compute with the file's pages.
    copied: bool,
    precision: Precision,
    /// Of the kernels, where they compute.
    level: Option<Level>,
    n_threads: usize,
    retention: Retention,
    arena: Arena,
    architecture: Architecture,
    adapter: Adapter,
    trained: Vec<TrainedPair>,
    /// What the latest training forward pass left for the backward pass.
    pending: Option<Pending>,
    /// Keys and values, while sequences are continued.
    cache: Option<Cache>,
    timings: Timings,
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
        let EngineOptions { device, portable, n_threads, precision, retention } = options;
        let n_threads = n_threads.max(1);
        let copied = portable || !device.is_cpu();
        let backend = match copied {
            true => Backend::open(device, n_threads)?,
            false => Backend::with_pool(n_threads)?,
        };
        let mut level = None;
        let (ops, weights): (Box<dyn Lowering>, Box<dyn Residency>) = if copied {
            let weights = OnDevice::open(gguf, &architecture)?;
            (Box::new(Portable::on(device, precision)), Box::new(weights))
        } else {
            let kernels = Kernels::detect()?;
            level = Some(kernels.level());
            let by = ByKernels { kernels, precision, n_threads };
            (Box::new(by), Box::new(Mapped::open(gguf, &architecture, by)?))
        };
        let mut engine = Self {
            trained: adapter.pairs.iter().map(TrainedPair::new).collect(),
            backend,
            ops,
            weights,
            copied,
            precision,
            level,
            n_threads,
            retention: Retention::NONE,
            arena: Arena::default(),
            architecture,
            adapter,
            pending: None,
            cache: None,
            timings: Timings::default(),
        };
        engine.retain(retention);
        Ok(engine)
    }

    /// The adapter as it stands.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.backend.device()
    }

    /// The SIMD level of the kernels; none where they do not compute.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// The shape of the model.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The model's file.
    pub fn gguf(&self) -> &Gguf {
        &self.weights.file().gguf
    }

    /// Changes what layers retain, from the next pass on. What the latest forward pass saved is
    /// dropped, so that `backward` needs another one.
    pub fn retain(&mut self, retention: Retention) {
        self.pending = None;
        self.retention = retention.within(self.architecture.n_layer);
        self.weights.retain(self.retention);
    }

    /// Peak bytes of the device's memory since the previous call: weights, what passes leave, and
    /// the intermediate tensors of graphs. What ggml's backend and the driver take for themselves
    /// is not among them.
    pub fn take_peak_bytes(&self) -> u64 {
        self.backend.meter().take_peak() as u64
    }

    /// The time spent since the previous call.
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
