//! LoRA training on quantized GGUF models, through ggml, layer by layer.
#![deny(unsafe_op_in_unsafe_fn)]

mod adapter;
mod architecture;
mod backend;
mod batch;
mod block;
mod buffer;
mod chat_template;
mod dropout;
mod engine;
mod frozen;
mod generator;
mod gguf;
mod gguf_writer;
mod graph;
mod head;
mod module;
mod ops;
mod peft;
mod quantized;
mod sys;
mod tape;
mod tokenizer;
mod vocabulary;
mod weights;

pub use adapter::{Adapter, AdapterError, LoraConfig, LoraPair};
pub use architecture::{Activation, Architecture, ArchitectureError, Family, Rope, RopeMode};
pub use backend::BackendError;
pub use chat_template::{ChatTemplate, TemplateError};
pub use cutq_kernels::{Precision, SimdError};
pub use engine::{Engine, EngineError, EngineOptions};
pub use generator::{Generator, Sampling};
pub use gguf::{Gguf, GgufError, TensorInfo, Value};
pub use module::{Module, UnknownModule};
pub use tokenizer::Tokenizer;
pub use vocabulary::LlamaError;
