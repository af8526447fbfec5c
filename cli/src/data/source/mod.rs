//! From a file, compressed or not, or a pipe, to one JSON text per example.

mod items;
mod open;
mod wrapped;

pub(super) use items::{Fault, Item, Items};
pub(super) use open::{OpenError, open};
pub(super) use wrapped::wrapped;
