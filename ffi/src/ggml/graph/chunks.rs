//! How the threads of one node divide its work.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands out `0..n` in chunks that shrink towards the end, so that threads finish together even
/// where another program slows one of them down. Serves one run of one node.
#[derive(Default)]
pub(crate) struct Chunks(AtomicUsize);

impl Chunks {
    /// The next chunk for one of `n_threads`: half of a fair share of what is left, in multiples
    /// of `unit`.
    pub fn take(&self, n: usize, unit: usize, n_threads: usize) -> Option<Range<usize>> {
        let len = |start: usize| ((n - start) / (2 * n_threads)).next_multiple_of(unit).max(unit);
        let next = |start| (start < n).then(|| (start + len(start)).min(n));
        // Only the counter itself is shared: what a chunk stands for was written before the run.
        let start = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(start..next(start)?)
    }
}

/// The share of `0..n` that thread `thread` takes, in multiples of `unit`.
pub(crate) fn share(n: usize, unit: usize, thread: usize, n_threads: usize) -> Range<usize> {
    let units = n.div_ceil(unit);
    let bound = |i: usize| (units * i / n_threads * unit).min(n);
    bound(thread)..bound(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_everything_once_and_shrink() {
        for n in [0, 1, 32, 1536, 4000] {
            for unit in [1, 32, 256] {
                for n_threads in 1..4 {
                    let chunks = Chunks::default();
                    let taken = std::iter::from_fn(|| chunks.take(n, unit, n_threads));
                    let taken: Vec<_> = taken.collect();
                    let all: Vec<usize> = taken.iter().cloned().flatten().collect();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                    assert!(taken.iter().all(|chunk| chunk.start % unit == 0));
                    assert!(taken.is_sorted_by_key(|chunk| std::cmp::Reverse(chunk.len())));
                }
            }
        }
    }

    #[test]
    fn shares_cover_everything_once() {
        for n in 0..300 {
            for unit in [1, 32, 256] {
                for n_threads in 1..5 {
                    let shares = (0..n_threads).map(|i| share(n, unit, i, n_threads));
                    let all: Vec<usize> = shares.flatten().collect();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                }
            }
        }
    }
}
