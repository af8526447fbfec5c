//! Products with a frozen quantized weight matrix on the CPU, in both orientations that training
//! needs, the log-softmax of a language model's head, and causal attention.
//!
//! | name                             | formula                        | reduces along |
//! |----------------------------------|--------------------------------|---------------|
//! | [`Kernels::product`]             | `Y[t,m]  = Σ_k  X[t,k] W[m,k]` | `K`, rows     |
//! | [`Kernels::product_transposed`]  | `dX[t,k] = Σ_m dY[t,m] W[m,k]` | `M`, columns  |
//!
//! The crate knows neither models nor file formats: `W` is a closure that dequantizes a piece of
//! one row. A piece is unpacked once, requantized along the axis of the sum, and then used for
//! every token, so the cost of unpacking is shared by hundreds of tokens. Where memory allows,
//! panels can be kept instead: [`Kernels::product_of_panels`].
//!
//! Both orientations end in one micro-kernel. Its left operand is a group of at most
//! [`GROUP`] tokens, its right operand a *panel* of [`COLUMNS`] outputs; both are stored in the
//! order in which the inner loop reads them ([`layout`]). [`Precision::Int8`] sums blocks of
//! [`BLOCK`] products of 8-bit quants in `i32` and scales each block sum in `f32`, beside a term
//! for the offset of affine weights; [`Precision::F32`] is the same path without quantization, for
//! exact checks.
//!
//! A head's product is too wide to keep: [`Kernels::head_sums`] and [`Kernels::head_dlogits`] go on
//! to the log-softmax of its logits and their gradient while they are in the cache ([`HeadShape`]).
//!
//! [`Kernels::attention`] and [`Kernels::attention_backward`] are `f32` throughout.
//!
//! # Levels
//! [`Level::Plain`] is ordinary Rust and defines the result. Every other level must give the same
//! bits (a NaN may differ in its payload): integer sums are exact, and all levels round, multiply
//! and add in the same order with fused multiply-adds. The CPU is asked once, by
//! [`Kernels::detect`]; holding a [`Kernels`] proves that its instructions exist. The environment
//! variable `CUTQ_SIMD` (`plain`, `neon`, `avx2`, `avx-vnni`, `avx512`) asks for a lower level.
//!
//! # Threads
//! Nothing here starts a thread. Callers split the tokens when they pack and the outputs when they
//! multiply, and hand attention a [`Share`] per thread; the results do not depend on how.
//!
//! ```
//! use cutq_kernels::{PackedActivations, Kernels, Precision};
//!
//! let kernels = Kernels::detect()?;
//! let weights = [[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]]; // (M, K) = (2, 3)
//! let unpack = |row: usize, out: &mut [f32]| out.copy_from_slice(&weights[row]);
//! let x = PackedActivations::pack(kernels, Precision::F32, &[1.0, 1.0, 1.0], 1, 3);
//! assert_eq!(x.product(&unpack, 2), [6.0, -0.5]);
//! # Ok::<(), cutq_kernels::SimdError>(())
//! ```

mod attention;
mod chunks;
mod dropout;
mod gated;
mod head;
mod kernels;
pub mod layout;
mod level;
mod log_softmax;
mod loops;
mod lora;
mod micro;
mod norm;
mod operand;
mod pack;
mod packed_activations;
mod panels;
mod product;
mod quant;
mod scratch;
mod sweep;

pub use attention::{
    Attention, AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved, AttentionShape,
    Segment, Share,
};
pub use head::{HeadInput, HeadShape, LogProb, VOCAB_PART};
pub use kernels::{Kernels, SimdError};
pub use layout::{BLOCK, COLUMNS, GROUP, PackedShape, Precision, TILE_COLUMNS, packed_bytes};
pub use level::Level;
pub use log_softmax::LogitGradient;
pub use loops::{Dropout, Nonlinearity};
pub use lora::LoraShape;
pub use operand::{Output, Packed, UnpackPart, UnpackRow};
pub use packed_activations::PackedActivations;
pub use panels::panel_bytes;
pub use scratch::Scratch;
