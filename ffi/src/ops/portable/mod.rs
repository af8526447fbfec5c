//! Operations composed of those that every device has.

pub(crate) mod attention;
mod head;
pub(crate) mod product;
