//! A language model's head: log-probabilities of labels and their gradient, without the logits.
//!
//! ```text
//! logits[t, v] = Σ_k x[t, k] w[v, k]
//! log_prob[t]  = logits[t, labels[t]] - ln Σ_v exp(logits[t, v])
//! dx[t, k]     = Σ_v dlogits[t, v] w[v, k]
//! ```
//!
//! The vocabulary `V` is long and the weights are most of the work that does not depend on the
//! number of tokens, so the outer loop goes over chunks of `W` and the inner one over all tokens:
//! `W` is unpacked once forward, and once in each orientation backward, however many tokens there
//! are. Logits exist for a few rows of `W` and 48 tokens at a time, in a thread's scratch. Forward,
//! only their maximum and sum of exponentials survive, per token and [`VOCAB_PART`] rows. Backward
//! they are computed again, become the gradient `dlogits` on the spot, and are packed as
//! activations of [`Kernels::product_transposed`], a chunk of the vocabulary at a time:
//!
//! ```text
//! for chunk of the vocabulary, HeadShape::chunk rows long:
//!     head_dlogits(chunk)           threads divide the chunk's rows
//!     dx += product_transposed      threads divide the columns
//! ```
//!
//! Each step needs all of the one before, so the caller synchronizes its threads in between. The
//! alternative, a `dx` per thread, needs no synchronization, but takes `T · K` floats per thread,
//! and its sum depends on the number of threads. Here every bit equals that of
//! [`Kernels::product`], [`Kernels::log_prob`], [`Kernels::log_prob_backward`] and
//! [`Kernels::product_transposed`] in turn, whatever the chunks and threads.
//!
//! [`Kernels::product`]: crate::Kernels::product
//! [`Kernels::product_transposed`]: crate::Kernels::product_transposed
//! [`Kernels::log_prob`]: crate::Kernels::log_prob
//! [`Kernels::log_prob_backward`]: crate::Kernels::log_prob_backward

mod backward;
mod forward;
mod input;
mod logits;
mod shape;

pub use forward::LogProb;
pub use input::HeadInput;
pub use shape::{HeadShape, VOCAB_PART};
