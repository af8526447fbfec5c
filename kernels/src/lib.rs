//! CPU kernels for training on frozen quantized weights: products with such a matrix in both
//! orientations, LoRA's narrow products beside it, norm, gated activation, dropout, causal
//! attention, and the log-softmax of a language model's head.
//!
//! The crate knows neither models nor file formats: a quantized matrix `W` is whatever dequantizes
//! parts of its rows ([`Weights`]); where it can also tell the quants themselves, they are used.
//!
//! ```
//! use cutq_kernels::{Kernels, PackedActivations, Precision};
//!
//! let kernels = Kernels::detect()?;
//! let weights = [[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]]; // (M, K) = (2, 3)
//! let w = |m: usize, k: usize, part: &mut [f32]| {
//!     part.copy_from_slice(&weights[m][k..][..part.len()]);
//! };
//! let x = PackedActivations::pack(kernels, Precision::F32, &[1.0, 1.0, 1.0], 1, 3);
//! assert_eq!(x.product(&w, 2), [6.0, -0.5]);
//! # Ok::<(), cutq_kernels::SimdError>(())
//! ```
//!
//! # Kernels
//! All of them are methods of [`Kernels`]. Those that split their work among threads are unsafe:
//! they take pointers and compute the range that they are given. Those on slices are safe.
//!
//! | products with frozen weights | formula                                           | split by |
//! |------------------------------|---------------------------------------------------|----------|
//! | [`pack`]                     | `x` in blocks of 8-bit quants                     | tokens   |
//! | [`product`]                  | `y[t,m] = Σ_k x[t,k] W[m,k]`                      | rows     |
//! | [`product_transposed`]       | `dx[t,k] = Σ_m dy[t,m] W[m,k]`                    | columns  |
//! | [`make_panels`]              | `W`, unpacked in advance for `product`            | rows     |
//! | [`make_panels_transposed`]   | `W`, unpacked in advance for `product_transposed` | columns  |
//! | [`product_of_panels`]        | either product                                    | outputs  |
//!
//! | [`LoraShape`]   | formula                                     | split by |
//! |-----------------|---------------------------------------------|----------|
//! | [`lora_low`]    | `low[t,j] = scaling Σ_k x̃[t,k] A[j,k]`      | tokens   |
//! | [`lora_add`]    | `y[t,m] += Σ_j low[t,j] B[m,j]`             | outputs  |
//! | [`lora_dlow`]   | `dlow[t,j] = scaling Σ_m dy[t,m] B[m,j]`    | tokens   |
//! | [`lora_db`]     | `dB[m,j] = Σ_t dy[t,m] low[t,j]`            | outputs  |
//! | [`lora_da`]     | `dA[j,k] = Σ_t dlow[t,j] x̃[t,k]`            | inputs   |
//! | [`lora_add_dx`] | `dx[t,k] += mask[t,k] Σ_j dlow[t,j] A[j,k]` | inputs   |
//!
//! with `x̃ = mask · x`, the input after dropout.
//!
//! | [`AttentionSchedule`]  | formula                                            | split by |
//! |------------------------|----------------------------------------------------|----------|
//! | [`attention`]          | `out[i] = Σ_j softmax_j(scale · q[i] · k[j]) v[j]` | tasks    |
//! | [`attention_backward`] | `dq`, `dk`, `dv` from `dout`                       | tasks    |
//!
//! | [`HeadShape`]    | formula                                                    | split by |
//! |------------------|------------------------------------------------------------|----------|
//! | [`head_sums`]    | `log_softmax(W x[t])[labels[t]]`, [`HeadShape::log_probs`] | rows     |
//! | [`head_dlogits`] | gradient of the logits, packed for `product_transposed`    | rows     |
//!
//! | on slices             | formula                                                             |
//! |-----------------------|---------------------------------------------------------------------|
//! | [`rms_norm`]          | `y = w · x / r`, `r = √(mean(x²) + eps)`                            |
//! | [`rms_norm_backward`] | `dx = (g − x̂ · mean(g · x̂)) / r`, `g = w · dy`, `x̂ = x / r`         |
//! | [`rope`]              | `(x_a cos θ − x_b sin θ, x_a sin θ + x_b cos θ)`, `θ = position · frequency` |
//! | [`gated`]             | `y = f(gate) · up`, `f` a [`Nonlinearity`]                          |
//! | [`gated_backward`]    | `dgate = dy · up · f'(gate)`, `dup = dy · f(gate)`                  |
//! | [`dropout`]           | `x · mask`, a mask made of hashes: [`Dropout`]                      |
//! | [`log_sum_exp`]       | `ln Σ_v exp(logits[v])`                                             |
//! | [`log_prob`]          | `logits[label] − log_sum_exp`                                       |
//! | [`log_prob_backward`] | `dlogits[v] = weight (exp(logits[v] − log_sum_exp) − [v == label])` |
//!
//! [`pack`]: Kernels::pack
//! [`product`]: Kernels::product
//! [`product_transposed`]: Kernels::product_transposed
//! [`make_panels`]: Kernels::make_panels
//! [`make_panels_transposed`]: Kernels::make_panels_transposed
//! [`product_of_panels`]: Kernels::product_of_panels
//! [`lora_low`]: Kernels::lora_low
//! [`lora_add`]: Kernels::lora_add
//! [`lora_dlow`]: Kernels::lora_dlow
//! [`lora_db`]: Kernels::lora_db
//! [`lora_da`]: Kernels::lora_da
//! [`lora_add_dx`]: Kernels::lora_add_dx
//! [`attention`]: Kernels::attention
//! [`attention_backward`]: Kernels::attention_backward
//! [`head_sums`]: Kernels::head_sums
//! [`head_dlogits`]: Kernels::head_dlogits
//! [`rms_norm`]: Kernels::rms_norm
//! [`rms_norm_backward`]: Kernels::rms_norm_backward
//! [`rope`]: Kernels::rope
//! [`gated`]: Kernels::gated
//! [`gated_backward`]: Kernels::gated_backward
//! [`dropout`]: Kernels::dropout
//! [`log_sum_exp`]: Kernels::log_sum_exp
//! [`log_prob`]: Kernels::log_prob
//! [`log_prob_backward`]: Kernels::log_prob_backward
//!
//! # Idea
//! A part of `W` is unpacked once, requantized along the axis of the sum (forward only where the file's
//! own quants do not lie along it), and then used for every
//! token, so that hundreds of tokens share the cost of unpacking. Where memory allows, panels can
//! be made in advance instead ([`make_panels`]).
//!
//! Both orientations end in one micro-kernel. Its left operand is a group of at most [`GROUP`]
//! tokens, its right operand a *panel* of [`COLUMNS`] outputs; both are stored in the order in
//! which the inner loop reads them ([`layout`]). [`Precision::Int8`] sums blocks of [`BLOCK`]
//! products of 8-bit quants in `i32` and scales each block sum in `f32`, beside a term for the
//! offset of affine weights; [`Precision::F32`] is the same path without quantization, for exact
//! checks.
//!
//! The logits of a head are too many to store. Its functions reduce them to log-probabilities, or
//! turn them into their gradient, while they are in the cache ([`HeadShape`]). Attention, likewise,
//! stores no scores. Everything but the products with `W` is `f32` throughout.
//!
//! # Levels
//! [`Level::Plain`] is ordinary Rust and defines the result. Every other level must give the same
//! bits (a NaN may differ in its payload): integer sums are exact, and all levels round, multiply
//! and add in the same order with fused multiply-adds. [`Kernels::detect`] finds the CPU's level
//! once; holding a [`Kernels`] proves that its instructions exist. The environment variable
//! `CUTQ_SIMD` (`plain`, `neon`, `avx2`, `avx-vnni`, `avx512`) asks for a lower level.
//!
//! # Threads
//! No kernel starts a thread. Callers divide the tokens when they pack, the outputs when they
//! multiply, and the tasks of an [`AttentionSchedule`]; the results do not depend on how. A [`Pool`]
//! has threads that divide such [`Work`], also on a machine that is busy with something else.
//! [`PackedActivations`] and [`Attention`] are the safe way, on one thread.
//!
//! # Files
//! Each file imports only from those below it.
//!
//! ```text
//! pool                      threads that divide work
//! packed_activations        products on memory of their own, safe
//! lora/                     the narrow products of an adapter: shape, input, forward, backward
//! head/                     shape, input, logits (a few rows at a time), forward, backward
//! attention/                single (safe), forward, backward/, schedule (the tasks),
//!                           tile, band (what is visible), tensors, shape
//! product                   both products, and that of panels
//! sweep                     all tokens by some panels
//! pack, panels              packing tokens, making panels
//! norm, rope, gated, dropout, log_softmax
//! kernels                   Kernels: the functions of this CPU, and how they are detected
//! micro/                    the innermost loops of the products, per level
//!                           (contract, plain, neon, avx2, avx_vnni, avx512, table)
//! loops/                    loops written once, for any vector, and compiled per level
//!                           (gemm, transpose, tile_softmax, norm, rope, gated, dropout,
//!                           log_softmax,
//!                           exp, vector, table)
//! quant                     quantization of a block
//! operand, chunks, scratch  what the caller hands over; cutting ranges; a thread's memory
//! level, layout             Level; where each number lies
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
mod pool;
mod product;
mod quant;
mod rope;
mod scratch;
mod sweep;

pub use attention::{
    Attention, AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved,
    AttentionSchedule, AttentionShape, KeptSegment, PAGE, Segment,
};
pub use head::{HeadInput, HeadShape, LogProb, VOCAB_PART};
pub use kernels::{Kernels, SimdError};
pub use layout::{BLOCK, COLUMNS, GROUP, PackedShape, Precision, TILE_COLUMNS, packed_bytes};
pub use level::Level;
pub use log_softmax::LogitGradient;
pub use loops::{Dropout, DropoutPool, Nonlinearity, RopePairs};
pub use lora::LoraShape;
pub use operand::{Output, Packed, QuantBlock, Weights};
pub use packed_activations::PackedActivations;
pub use panels::panel_bytes;
pub use pool::{Pool, Work};
pub use rope::Rope;
pub use scratch::Scratch;
