//! LoRA training on quantized GGUF models, through ggml, layer by layer.
//!
//! [`Engine`] implements `cutq_core`'s `Model`: sequences in, log-probabilities of the response
//! tokens out; one weight per token in, gradients of the adapter out. The model itself is never
//! dequantized as a whole: its tensors point into the memory-mapped file, or are copied to a device as
//! they are, all of them or layer by layer.
//!
//! ```no_run
//! # use std::path::Path;
//! # use cutq_core::{group::Group, objective::Cut, trainer::{Trainer, TrainerOptions}};
//! # use cutq_ffi::*;
//! # fn train(group: Group, options: TrainerOptions) -> Result<(), Box<dyn std::error::Error>> {
//! let gguf = Gguf::open(Path::new("model.gguf"))?;
//! let architecture = Architecture::from_gguf(&gguf)?;
//! let target_modules = Projection::FFN.to_vec();
//! let config = LoraConfig { r: 16, lora_alpha: 16.0, lora_dropout: 0.05, target_modules };
//! let adapter = Adapter::init(&gguf, &architecture, config, 42);
//! let mut engine = Engine::open(&gguf, adapter, EngineOptions::default())?;
//!
//! let mut trainer = Trainer::new(Cut::paper(), options);
//! let report = trainer.step(&mut engine, &[&group])?;
//! println!("loss {:.4}", report.loss);
//! engine.adapter().save_gguf(Path::new("adapter.gguf"))?;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/train.rs` is the whole of it, from text to the adapter's file.
//!
//! # The tree
//!
//! Each folder uses those above it, none below.
//!
//! | folder | what it knows |
//! |---|---|
//! | `sys` | the bindings, the C side's log, what is left to do when it aborts, how long threads wait |
//! | `ggml` | devices, backends, buffers, tensors, graphs with checked shapes and operations of our own; no models |
//! | `gguf` | files: metadata, where tensors lie, how a row is dequantized; writing |
//! | `llama`, `text` | llama.cpp's model and generation; tokenizers and chat templates |
//! | `model` | families as data, the shape of a model, every tensor's name and shape, a layer's tensors |
//! | `adapter` | the LoRA matrices, and the files that llama.cpp and PEFT load |
//! | `ops` | reverse-mode differentiation, and each operation with its gradient in two ways: `kernels` and `portable`, behind one trait |
//! | `residency` | where weights are: mapped from the file for the CPU, copied to a device, streamed to it |
//! | `engine` | the executor: layer after layer forward, and backward from checkpoints; answers to many prompts |
//! | `plan` | how a run, or sampling, fits into a budget |
//!
//! # Decisions
//!
//! - **One graph per layer.** The forward pass keeps each layer's input, nothing else; the backward
//!   pass computes a layer again before its gradient. Memory does not depend on depth but for one
//!   checkpoint per layer.
//! - **Every operation brings its own gradient.** ggml's automatic differentiation uses `OUT_PROD`,
//!   `RMS_NORM_BACK` and others that only its CPU backend has, and its `OUT_PROD` dequantizes every
//!   weight row once per token. On devices the gradients are composed of operations that CUDA, Metal
//!   and Vulkan all have, and every node is checked (`ggml_backend_supports_op`) before it runs.
//!   [`Engine::operations`] lists them without a device.
//! - **Models may be larger than a device's memory.** Layers that do not fit are copied when they are
//!   needed, by a thread of the host beside the computation: ggml's backends run the copies of a
//!   second thread on queues of their own, so that no backend needs code of its own here. The
//!   embedding's rows are read on the host, and adapter and optimizer live there.
//! - **Dequantized rows stay in F32 on devices**: gradients are easily smaller than the smallest F16.
//!   Metal's products round both operands to F16 all the same, so gradients are scaled by a power of
//!   two on their way (`ops::portable`).
//! - **On the CPU the arithmetic is ours**; ggml allocates, orders the nodes and adds. Composed of
//!   ggml's operations, attention took most of a step, and what surrounds the products another
//!   half: on 2 × 512 tokens of SmolLM2, 2 threads, the kernels for attention brought 210 to 460
//!   training tokens per second, those for the norms, the gated nonlinearity and LoRA 480 to 890.
//! - **So are its threads.** ggml runs a graph on one thread, and our operations divide their work over
//!   a pool: ggml's threads meet at a barrier after every node, where all wait for the one whose core
//!   another program has. What an operation computes does not depend on who computes which part.
//! - **No padding.** Sequences share one row of tokens with restarting positions, and attention
//!   runs within each.
//! - **The head never sees the prompt.** Logits exist only where a response token is predicted, for
//!   a few rows at a time, and are computed again for their gradient.
//! - **ggml's asserts end the process**, so `model` checks every tensor's shape when a model is opened
//!   and `ggml::graph` checks every node.
//! - **The bindings** are `llama-cpp-sys-2`, which builds current ggml and llama.cpp from source;
//!   `ggml-sys-bleedingedge`, an obvious alternative, stopped in April 2024, before ggml's backend
//!   interface, its Vulkan backend and the gradients used here.
#![deny(unsafe_op_in_unsafe_fn)]

mod adapter;
mod engine;
mod error;
mod ggml;
mod gguf;
mod llama;
mod model;
mod ops;
mod plan;
mod residency;
mod sys;
mod text;

pub use adapter::{Adapter, AdapterError, LoraConfig, LoraPair};
pub use cutq_kernels::{Level, Nonlinearity, Precision, SimdError};
pub use engine::Engine;
pub use engine::footprint::Footprint;
pub use engine::options::EngineOptions;
pub use engine::probe::{LayerTimes, Rates};
pub use engine::sample::Choice;
pub use engine::sample::footprint::SamplingFootprint;
pub use engine::sample::request::{Sample, SampleEnd, SampleOptions, SampleRequest};
pub use engine::timings::Timings;
pub use error::EngineError;
pub use ggml::backend::BackendError;
pub use ggml::device::{Device, DeviceMemory, MissingDevices, NoDevice};
pub use ggml::operation::{Operand, Operation};
pub use ggml::rope::{Rope, RopeMode, Yarn};
pub use ggml::tensor_type::{TensorType, UnknownTensorType};
pub use gguf::error::GgufError;
pub use gguf::file::Gguf;
pub use gguf::format::FileFormat;
pub use gguf::header::GgufHeader;
pub use gguf::replace::{check_replaceable, replace as replace_file};
pub use gguf::split::error::SplitError;
pub use gguf::tensor_info::TensorInfo;
pub use gguf::value::Value;
pub use llama::error::LlamaError;
pub use llama::generator::{Generator, GeneratorOptions};
pub use llama::sampler::Sampling;
pub use model::architecture::Architecture;
pub use model::error::ArchitectureError;
pub use model::family::Family;
pub use model::kind::FileKind;
pub use model::projection::{Projection, UnknownProjection};
pub use model::refused::refused_families;
pub use plan::Plan;
pub use plan::budget::TooSmall;
pub use plan::demand::Demand;
pub use plan::sampling::SamplingPlan;
pub use residency::bytes::WeightBytes;
pub use residency::retention::Retention;
pub use sys::abort::exit_on_abort;
pub use sys::waiting::Waiting;
pub use text::chat_template::{ChatTemplate, NotATime, Now, TemplateError};
pub use text::tokenizer::Tokenizer;
