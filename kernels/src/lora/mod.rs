//! The products of a LoRA adapter, `y += B · scaling · A x̃`, and their gradients, in `f32`.
//!
//! `x̃` is the input after dropout, whose mask is applied on the way and never stored. All six
//! products have one narrow side, the rank; it is padded to whole registers ([`LoraShape::row`]).
//!
//! How the work is split does not change a bit.

mod backward;
mod forward;
mod input;
mod shape;

pub use shape::LoraShape;
