//! From a file, compressed or not, or a pipe, to one JSON object per example.

mod input;
mod items;
mod open;
mod rows;
mod wrapped;

pub use input::{input, is_piped};
pub(super) use items::{Fault, Item, Items};
pub(super) use open::{OpenError, Source, open};
pub(super) use rows::Rows;
pub(super) use wrapped::wrapped;
