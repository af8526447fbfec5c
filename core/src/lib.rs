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
//! | how it is put to a model | [`template`], [`prompts`] | text, markup apart from data |
//! | what the engine reads | [`group`] | token ids of prompts and response |
//! | what the model thinks | [`model`] | log-probability of each response token |
//! | what that costs | [`objective`] | loss terms and the set `U`, one value per token |
//! | how each token pulls | [`dual`], [`example_loss`] | `d loss / d log p`, one weight per token |
//! | how weights move | [`trainer`], [`optimizer`], [`schedule`], [`clip`], [`order`] | steps |
//!
//! An objective sees logits only through the log-probabilities of the target tokens, so an engine
//! owes it one number per token and gets one number per token back. It is written once, over
//! [`tensor::Tensor`]: an engine that differentiates by itself implements the trait for its own
//! tensors and calls its own backward pass on the loss; an engine that does not is served by
//! [`dual::Dual`], which carries the two derivatives through the very same definition.
//!
//! # Without `alloc`
//!
//! `default-features = false` leaves what needs no heap: [`log_space`], [`context`], [`tensor`], [`dual`],
//! [`objective`], [`schedule`], [`clip`] and the update rules of [`optimizer`] over slices.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
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
