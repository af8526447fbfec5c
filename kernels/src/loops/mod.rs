//! Loops written once, for any vector or for lanes of an array, and compiled once per level.
//!
//! They give the same bits at every level: each sum has one order, and where a multiply-add is
//! fused it is fused everywhere.

mod dropout;
mod exp;
mod gated;
mod gemm;
pub(crate) mod log_softmax;
mod norm;
mod rope;
mod table;
pub(crate) mod tile_softmax;
mod transpose;
mod vector;

pub use dropout::{Dropout, DropoutPool};
pub use gated::Nonlinearity;
pub(crate) use gemm::Gemm;
pub use rope::RopePairs;
pub(crate) use table::{Loops, table};
pub(crate) use transpose::Matrix;
pub(crate) use vector::LANES;
