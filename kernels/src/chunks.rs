//! Cutting a range into chunks.

use std::ops::Range;

/// Cuts a range into chunks of `len`; the last one may be shorter.
pub(crate) fn chunks(
    range: Range<usize>,
    len: usize,
) -> impl DoubleEndedIterator<Item = Range<usize>> + Clone {
    range.clone().step_by(len).map(move |start| start..range.end.min(start + len))
}

/// An empty axis of the sum still has an output to write: zero.
pub(crate) fn at_least_one(
    mut chunks: impl Iterator<Item = Range<usize>>,
) -> impl Iterator<Item = Range<usize>> {
    std::iter::once(chunks.next().unwrap_or(0..0)).chain(chunks)
}
