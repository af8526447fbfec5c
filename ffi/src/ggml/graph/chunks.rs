//! Work that the threads of one node take piece by piece.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands out `0..n` in pieces that shrink towards the end, so that threads finish together even
/// where another program slows one of them down. Serves one run of one node.
#[derive(Default)]
pub(crate) struct Pieces(AtomicUsize);

impl Pieces {
    /// The next piece for one of `n_threads`: half of a fair share of what is left, in multiples
    /// of `unit`.
    pub fn take(&self, n: usize, unit: usize, n_threads: usize) -> Option<Range<usize>> {
        let len = |start: usize| ((n - start) / (2 * n_threads)).next_multiple_of(unit).max(unit);
        let next = |start| (start < n).then(|| (start + len(start)).min(n));
        // Only the counter itself is shared: what a piece stands for was written before the run.
        let start = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(start..next(start)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_once_and_shrink() {
        for n in [0, 1, 32, 1536, 4000] {
            for unit in [1, 32, 256] {
                for n_threads in 1..4 {
                    let pieces = Pieces::default();
                    let taken = std::iter::from_fn(|| pieces.take(n, unit, n_threads));
                    let taken: Vec<_> = taken.collect();
                    let all: Vec<usize> = taken.iter().cloned().flatten().collect();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                    assert!(taken.iter().all(|piece| piece.start % unit == 0));
                    assert!(taken.is_sorted_by_key(|piece| std::cmp::Reverse(piece.len())));
                }
            }
        }
    }
}
