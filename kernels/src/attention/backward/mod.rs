//! The backward pass: tiles of queries against keys, with the keys along the lanes.

mod buffers;
mod pass;
mod products;
mod tile;
