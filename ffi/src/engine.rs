//! The layer executor: one graph per block, whatever the depth of the model.
//!
//! The forward pass keeps the input of every block, a *checkpoint*, and nothing else. The backward
//! pass goes from the last block to the first: it computes the block again from its checkpoint and
//! then its gradient, in one graph. So the memory of a step is the checkpoints, one block's
//! activations, and the adapter.

use std::num::NonZeroUsize;
use std::time::Instant;

use cutq_core::model::{Mode, Model, Parameter, Sequence};
use cutq_kernels::{AttentionShape, Dropout, Kernels, LogProb, Precision, SimdError};

use crate::adapter::{Adapter, LoraPair};
use crate::architecture::{Architecture, ArchitectureError};
use crate::backend::{Backend, BackendError};
use crate::batch::Batch;
use crate::block::Block;
use crate::buffer::{self, Arena, Tensor};
use crate::frozen::Products;
use crate::gguf::Gguf;
use crate::graph::{Graph, Node, Rotation};
use crate::head::Head;
use crate::module::Module;
use crate::ops::{Attention, Lora};
use crate::tape::{Kept, Tape, Var};
use crate::timings::Timings;
use crate::weights::Weights;

/// More than the tensors of one block's forward and backward pass.
const BLOCK_CAPACITY: usize = 1024;

/// How an [`Engine`] computes.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Threads; all available ones by default.
    pub n_threads: usize,
    /// Arithmetic of the products with frozen weights.
    pub precision: Precision,
    /// Blocks, counted from the last, whose products the forward pass keeps; the backward pass
    /// computes those of the others again. Changes speed and memory, no result.
    pub kept_layers: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let n_threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { n_threads, precision: Precision::Int8, kept_layers: 0 }
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

/// A quantized model with a trainable adapter, on the CPU.
pub struct Engine {
    backend: Backend,
    kernels: Kernels,
    precision: Precision,
    kept_layers: usize,
    arena: Arena,
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
        let backend = Backend::cpu(options.n_threads)?;
        let weights = Weights::map(gguf, &architecture)?;
        Ok(Self {
            trained: adapter.pairs.iter().map(TrainedPair::new).collect(),
            kernels: Kernels::detect()?,
            precision: options.precision,
            kept_layers: options.kept_layers.min(architecture.n_layer),
            arena: Arena::default(),
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

    /// The shape of the model.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
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

    /// Rows of the embedding, dequantized on the host and written to the first checkpoint.
    fn embed(&self, tokens: &[u32], stream: &Tensor) {
        let (embedding, n_embd) = (&self.weights.embedding.data, self.architecture.n_embd);
        let mut row = vec![0.0; n_embd];
        for (t, &token) in tokens.iter().enumerate() {
            embedding.unpack(token as usize, 0, &mut row);
            row.iter_mut().for_each(|x| *x *= self.architecture.embedding_scale);
            stream.write(t * n_embd, &row);
        }
    }

    fn run_block(
        &self,
        layer: usize,
        batch: &Batch,
        stream: [&Tensor; 2],
        seed: Option<u64>,
        kept: Option<&[Tensor]>,
    ) -> Result<(), BackendError> {
        let graph = Graph::new(BLOCK_CAPACITY);
        let kept = kept.map_or(Kept::Nothing, Kept::Into);
        let mut tape = Tape::new(&graph, self.kernels).with_kept(kept);
        let block = self.block(&graph, &mut tape, layer, batch, seed);
        let x = tape.constant(graph.leaf(stream[0]));
        let y = block.forward(&mut tape, x);
        graph.store(y.node, stream[1]);
        self.backend.run(&graph)
    }

    /// The gradients of block `layer`'s adapters, by pair; turns the gradient for the block's
    /// output, in `pending.d_stream`, into the one for its input, if a block below needs it.
    fn run_block_backward(
        &self,
        layer: usize,
        pending: &Pending,
    ) -> Result<Vec<PairGradient>, BackendError> {
        let d_stream = &pending.d_stream;
        let graph = Graph::new(BLOCK_CAPACITY);
        let kept = layer.checked_sub(self.architecture.n_layer - pending.kept.len());
        let kept = kept.map_or(Kept::Nothing, |i| Kept::In(&pending.kept[i]));
        let mut tape = Tape::new(&graph, self.kernels).with_kept(kept);
        let block = self.block(&graph, &mut tape, layer, &pending.batch, Some(pending.seed));
        let below = self.adapter.pairs.iter().any(|pair| pair.layer < layer);
        let x = graph.leaf(&pending.stream[layer]);
        let x: Var<'_> = if below { tape.parameter(x) } else { tape.constant(x) };
        let y = block.forward(&mut tape, x);
        let gradients = tape.backward(y, graph.leaf(d_stream));
        let of = |var| gradients.of(var).expect("the block depends on it");
        let of_pairs = block.loras.iter().map(|(_, lora)| [of(lora.a), of(lora.b)]);
        let of_pairs: Vec<[Node<'_>; 2]> = of_pairs.collect();
        of_pairs.iter().flatten().for_each(|&node| graph.output(node));
        if below {
            // Last, since it overwrites what the others read.
            graph.store(of(x), d_stream);
        }
        self.backend.run(&graph)?;
        let read = |((pair, _), nodes): ((usize, _), [Node<'_>; 2])| {
            let [da, db] = nodes.map(buffer::read);
            PairGradient { pair, da, db }
        };
        Ok(self.pairs_of(layer).zip(of_pairs).map(read).collect())
    }

    fn pairs_of(&self, layer: usize) -> impl Iterator<Item = (usize, &LoraPair)> {
        self.adapter.pairs.iter().enumerate().filter(move |(_, pair)| pair.layer == layer)
    }

    /// A forward pass that leaves nothing.
    fn log_probs(&mut self, batch: &Batch) -> Result<Vec<f64>, EngineError> {
        let shape = [self.architecture.n_embd, batch.tokens.len()];
        let started = Instant::now();
        let stream = self.arena.tensors(&self.backend, &[shape; 2])?;
        self.embed(&batch.tokens, &stream[0]);
        let n_layer = self.architecture.n_layer;
        for layer in 0..n_layer {
            let ends = [layer, layer + 1].map(|i| &stream[i % 2]);
            self.run_block(layer, batch, ends, None, None)?;
        }
        self.timings.forward += started.elapsed();
        let started = Instant::now();
        let targets = self.head(batch, &stream[n_layer % 2]).log_probs()?;
        self.timings.head += started.elapsed();
        Ok(targets.iter().map(|t| t.log_prob).collect())
    }

    /// A forward pass that leaves what the backward pass needs.
    fn forward_kept(&mut self, batch: Batch, seed: u64) -> Result<Pending, EngineError> {
        let n_layer = self.architecture.n_layer;
        let started = Instant::now();
        let shapes = self.pass_shapes(&batch);
        let mut tensors = self.arena.tensors(&self.backend, &shapes.concat())?.into_iter();
        let mut take = |shapes: &Vec<_>| tensors.by_ref().take(shapes.len()).collect();
        let mut stream: Vec<Tensor> = take(&shapes[0]);
        let d_stream = stream.pop().expect("the last of the stream's tensors");
        let kept: Vec<Vec<Tensor>> = shapes[1..].iter().map(take).collect();
        self.embed(&batch.tokens, &stream[0]);
        for layer in 0..n_layer {
            let ends = [&stream[layer], &stream[layer + 1]];
            let kept = layer.checked_sub(n_layer - kept.len()).map(|i| kept[i].as_slice());
            self.run_block(layer, &batch, ends, Some(seed), kept)?;
        }
        self.timings.forward += started.elapsed();
        let started = Instant::now();
        let targets = self.head(&batch, &stream[n_layer]).log_probs()?;
        self.timings.head += started.elapsed();
        Ok(Pending { batch, stream, d_stream, kept, targets, seed })
    }

    /// Shapes of what outlives a block in a training pass: the residual stream before each block,
    /// after the last and its gradient; then, for each kept block, its values.
    fn pass_shapes(&self, batch: &Batch) -> Vec<Vec<[usize; 2]>> {
        let n_layer = self.architecture.n_layer;
        let stream = vec![[self.architecture.n_embd, batch.tokens.len()]; n_layer + 2];
        let kept = (n_layer - self.kept_layers..n_layer).map(|layer| self.keepable(layer, batch));
        std::iter::once(stream).chain(kept).collect()
    }

    /// Shapes of what block `layer` can keep.
    fn keepable(&self, layer: usize, batch: &Batch) -> Vec<[usize; 2]> {
        let graph = Graph::new(BLOCK_CAPACITY);
        let mut tape = Tape::new(&graph, self.kernels);
        let shape = [self.architecture.n_embd, batch.tokens.len()];
        let x = tape.constant(graph.placeholder(shape));
        self.block(&graph, &mut tape, layer, batch, None).forward(&mut tape, x);
        tape.keepable().to_vec()
    }

    fn block<'g>(
        &'g self,
        graph: &'g Graph,
        tape: &mut Tape<'g>,
        layer: usize,
        batch: &'g Batch,
        seed: Option<u64>,
    ) -> Block<'g> {
        let n_tokens = batch.tokens.len();
        let loras = self.pairs_of(layer).map(|(i, pair)| {
            let r = self.adapter.config.r;
            let lora = Lora {
                a: tape.parameter(graph.slice(&pair.a, [pair.n_in, r])),
                b: tape.parameter(graph.slice(&pair.b, [r, pair.n_out])),
                scaling: self.adapter.scaling(),
                dropout: self.dropout(seed, i),
            };
            (pair.module, lora)
        });
        Block {
            architecture: &self.architecture,
            layer: &self.weights.layers[layer],
            products: Products::new(graph, self.kernels, self.precision),
            rotation: Rotation {
                rope: self.architecture.rope(layer),
                positions: graph.input([n_tokens, 1], batch.positions.clone()),
                factors: self.weights.rope_factors.as_ref().map(|f| graph.leaf(f)),
            },
            attention: Attention {
                kernels: self.kernels,
                shape: AttentionShape {
                    n_head: self.architecture.n_head,
                    n_head_kv: self.architecture.n_head_kv,
                    head_dim: self.architecture.head_dim,
                    scale: self.architecture.attention_scale,
                    window: self.architecture.window(layer),
                },
                segments: batch.segments.clone(),
            },
            loras: loras.collect::<Vec<(Module, Lora<'g>)>>(),
        }
    }

    /// A pair's dropout in this step, if there is any.
    fn dropout(&self, step_seed: Option<u64>, pair: usize) -> Option<Dropout> {
        let p = self.adapter.config.lora_dropout;
        let step_seed = step_seed.filter(|_| p > 0.0)?;
        Some(Dropout::new(dropout_seed(step_seed, pair), p))
    }

    fn head<'a>(&'a self, batch: &'a Batch, stream: &'a Tensor) -> Head<'a> {
        Head {
            backend: &self.backend,
            kernels: self.kernels,
            precision: self.precision,
            weights: &self.weights,
            rms_eps: self.architecture.rms_eps,
            batch,
            stream,
        }
    }
}

impl Model for Engine {
    type Float = f32;
    type Error = EngineError;

    fn forward(&mut self, sequences: &[Sequence<'_>], mode: Mode) -> Result<Vec<f64>, EngineError> {
        self.pending = None;
        self.check(sequences)?;
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
        let head = self.head(&pending.batch, &pending.stream[n_layer]);
        head.backward(&pending.targets, dlog_probs, &pending.d_stream)?;
        self.timings.head += started.elapsed();
        let started = Instant::now();
        let lowest = self.adapter.pairs.iter().map(|pair| pair.layer).min().unwrap_or(n_layer);
        for layer in (lowest..n_layer).rev() {
            for gradient in self.run_block_backward(layer, &pending)? {
                let trained = &mut self.trained[gradient.pair];
                add(&mut trained.da, &gradient.da);
                add(&mut trained.db, &gradient.db);
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

/// A seed for one tensor of one step.
fn dropout_seed(step_seed: u64, index: usize) -> u64 {
    let mut x = step_seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
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
