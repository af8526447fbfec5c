//! Contrastive Unlikelihood Training (CUT) as mathematics: no device, no file, no operating system.
//!
//! CUT aligns a language model with *judgments*: critiques in plain language. The same poor
//! response `y` is read twice, once after the instruction alone (the *plain* context) and once
//! after the instruction and its judgment (the *judged* context). A token that becomes more likely
//! once the model has read the criticism is what the criticism was about: it is *inappropriate*,
//! and is made less likely in the plain context, while every other token is learned as usual.
//!
//! ```text
//! U  = { t : p(y_t | x, j) > λ p(y_t | x) }
//! L1 = −(1/N) [ Σ_{t∉U} ln p(y_t | x) + Σ_{t∈U} α p(y_t | x, j)^γ ln(1 − p(y_t | x)) ]
//! L2 = −(1/N) Σ_t ln p(y_t | x, j)
//! ```
//!
//! A response without a judgment is a positive example: `L1 = 0` and `L2 = −(1/N) Σ_t ln p(y_t |
//! x)`. (Xu et al., "Reasons to Reject? Aligning Language Models with Judgments", arXiv
//! 2312.14591.)
//!
//! # How the parts fit
//!
//! | step | module | what it gives |
//! |---|---|---|
//! | what was said | [`example`] | messages, response, judgment or none |
//! | how a model is asked | [`template`], [`prompts`] | a prompt per [`context`], markup apart |
//! | what the engine reads | [`group`] | token ids of prompts and response |
//! | how likely the model finds it | [`model`] | log-probability of each response token |
//! | what that costs | [`objective`] | loss terms and the set `U`, one value per token |
//! | how each token pulls | [`dual`], [`example_loss`] | `d loss / d log p`, one weight per token |
//! | how weights move | [`trainer`], [`optimizer`], [`schedule`], [`clip`], [`order`] | steps |
//!
//! An objective sees logits only through the log-probabilities of the response's tokens, so it is
//! written once, over [`tensor::Tensor`], for engines of both kinds.
//!
//! # Embedding it
//!
//! | the engine | implements | calls | example |
//! |---|---|---|---|
//! | differentiates by itself | [`Tensor`] | [`Objective::token_losses`] | `examples/autodiff.rs` |
//! | does not | [`Model`] | [`Trainer::step`] | `examples/toy_engine.rs` |
//!
//! **With automatic differentiation.** `Tensor` is seven elementwise operations on one value per
//! response token, shape `(N,)`. Read the response in the contexts that
//! [`objective::Objective::contexts`] names, hand over its log-probabilities, and call your own
//! backward pass on the mean of what comes back. Batches, clipping and the update are yours.
//!
//! ```text
//! let inputs = TokenInputs { is_judged: true, log_probs, is_eos: None, quoted: None };
//! let loss = objective.token_losses(&inputs)?.mean();
//! loss.backward();
//! ```
//!
//! **Without.** `Model` runs sequences forward, gives one number per response token, and takes one
//! back: `d loss / d log p`, found by carrying [`dual::Dual`] through the same definition. The
//! trainer does the rest; [`Model`] says what it calls, and when.
//!
//! ```text
//! fn forward(&mut self, sequences, mode) -> Result<Vec<f64>, Error>;  // log p of response tokens
//! fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), Error>;    // adds to the gradients
//! fn visit_parameters(&mut self, visit);                              // values and gradients
//! fn zero_grads(&mut self);
//! ```
//!
//! An engine's own errors pass through unchanged, in [`objective::ObjectiveError::Tensor`] and
//! [`trainer::TrainError::Model`].
//!
//! [`Model`]: model::Model
//! [`Objective::token_losses`]: objective::Objective::token_losses
//! [`Tensor`]: tensor::Tensor
//! [`Trainer::step`]: trainer::Trainer::step
//!
//! # Features
//!
//! `alloc`, on by default. Without it what needs no heap is left: [`log_space`], [`context`],
//! [`tensor`], [`dual`], [`objective`], [`schedule`], [`clip`] and the update rules of
//! [`optimizer`] over slices.
//!
//! `std`, off by default: square roots by the processor's instruction instead of by libm; the bits are
//! the same, and an update takes a fifth of the time.
//!
//! `serde`, off by default: serialized forms of what a program saves or logs. Structs are maps of
//! their fields, and names are in kebab case, such as `header-matched`. A choice carries its name
//! beside its options, which needs `alloc`:
//!
//! ```text
//! {"objective": "cut", "threshold": 1.1, …}       AnyObjective
//! {"optimizer": "adamw", "beta1": 0.9, …}         Optimizer
//! {"step": 1, "loss": 2.3, "l1": 1.1, …}          StepReport, to be flattened into a log line
//! ```
//!
//! Options and their choices refuse fields that they do not know, missing ones and, for objectives,
//! values out of range.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod clip;
pub mod context;
pub mod dual;
#[cfg(feature = "alloc")]
pub mod example;
#[cfg(feature = "alloc")]
pub mod example_loss;
pub mod float;
#[cfg(feature = "alloc")]
pub mod group;
pub mod log_space;
#[cfg(feature = "alloc")]
pub mod model;
pub mod objective;
pub mod optimizer;
#[cfg(feature = "alloc")]
pub mod order;
#[cfg(feature = "alloc")]
pub mod prompts;
pub mod schedule;
#[cfg(feature = "alloc")]
pub mod template;
pub mod tensor;
#[cfg(feature = "alloc")]
pub mod trainer;
