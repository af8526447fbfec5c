//! The order in which a run reads its data, and its other random choices.
//!
//! All are pure functions of the run's seed and of where it stands, so that a resumed run needs no
//! saved random state. They draw from two families of independent ChaCha8 streams:
//!
//! | stream | drawn by |
//! |---|---|
//! | order, one per epoch | [`permutation`], [`Batches`]; [`choose`] from that of epoch 0 |
//! | dropout, one per step | the trainer, the step's seed |

use alloc::vec::Vec;
use core::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a random stream is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// Permutations, by epoch.
    Order = 0,
    /// Seeds of steps.
    Dropout = 1,
}

/// The generator for one purpose at one epoch or step.
fn stream(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((number << 1) | purpose as u64);
    rng
}

/// A number in `0..n` with every value equally likely, `n > 0`.
fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    // The last incomplete run of n numbers would favour small remainders: draw again there.
    let limit = u64::MAX - u64::MAX % n;
    loop {
        let x = rng.next_u64();
        if x < limit {
            return x % n;
        }
    }
}

/// The order in which `epoch` reads examples `0..n`: a permutation, uniform over all of them.
pub fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut rng = stream(seed, Purpose::Order, epoch);
    for i in (1..n).rev() {
        order.swap(i, below(&mut rng, i as u64 + 1) as usize);
    }
    order
}

/// `k` of `0..n` in random order, every choice equally likely; all of them if `k` exceeds `n`.
///
/// These are the first `k` of `permutation(n, seed, 0)`. Each is uniform by itself, but a choice
/// and epoch 0's order of the same `n` under one seed are not independent.
///
/// ```
/// use cutq_core::order::choose;
///
/// let held_out = choose(100, 10, 42);
/// assert_eq!(held_out.len(), 10);
/// assert_eq!(held_out, choose(100, 10, 42));
/// ```
pub fn choose(n: usize, k: usize, seed: u64) -> Vec<usize> {
    let mut chosen = permutation(n, seed, 0);
    chosen.truncate(k);
    chosen
}

/// The seed of what is random in one step, see [`Mode::Train`](crate::model::Mode::Train).
pub(crate) fn step_seed(seed: u64, step: u64) -> u64 {
    stream(seed, Purpose::Dropout, step).next_u64()
}

/// The batches of a run over `n` examples: every epoch in its own order, its last batch perhaps
/// short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    n: usize,
    batch_size: usize,
    seed: u64,
}

impl Batches {
    /// Batches of `batch_size` out of `n` examples; `None` if either is 0.
    pub fn new(n: usize, batch_size: usize, seed: u64) -> Option<Self> {
        (n > 0 && batch_size > 0).then_some(Self { n, batch_size, seed })
    }

    /// Steps in one epoch.
    pub fn per_epoch(&self) -> u64 {
        self.n.div_ceil(self.batch_size) as u64
    }

    /// The epoch that `step` belongs to, both counted from 0.
    pub fn epoch(&self, step: u64) -> u64 {
        step / self.per_epoch()
    }

    /// The examples of `step`, counted from 0 over the whole run.
    pub fn batch(&self, step: u64) -> Vec<usize> {
        let order = permutation(self.n, self.seed, self.epoch(step));
        order[self.range(step)].to_vec()
    }

    /// Where `step`'s batch lies in its epoch's order.
    fn range(&self, step: u64) -> Range<usize> {
        let start = (step % self.per_epoch()) as usize * self.batch_size;
        start..self.n.min(start.saturating_add(self.batch_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_reads_every_example_once() {
        let batches = Batches::new(10, 4, 42).expect("not empty");
        assert_eq!(batches.per_epoch(), 3);
        let epoch =
            |e: u64| -> Vec<usize> { (0..3).flat_map(|s| batches.batch(3 * e + s)).collect() };
        let mut sorted = epoch(0);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        assert_eq!(batches.batch(2).len(), 2);
        assert_ne!(epoch(0), epoch(1));
        assert_eq!(epoch(1), permutation(10, 42, 1));
        assert_ne!(permutation(10, 42, 0), permutation(10, 43, 0));
    }

    #[test]
    fn permutations_are_uniform() {
        let mut counts = [0_u32; 6];
        for epoch in 0..6000 {
            let order = permutation(3, 1, epoch);
            counts[order[0] * 2 + usize::from(order[1] > order[2])] += 1;
        }
        // 1000 each, standard deviation 29.
        assert!(counts.iter().all(|c| (850..1150).contains(c)), "{counts:?}");
    }

    #[test]
    fn a_choice_is_the_beginning_of_the_first_order() {
        assert_eq!(choose(10, 4, 42), permutation(10, 42, 0)[..4]);
        assert_eq!(choose(3, 9, 42), permutation(3, 42, 0));
        assert!(choose(3, 0, 42).is_empty());
    }

    #[test]
    fn seeds_differ_by_run_and_step() {
        let drawn = [(1, 0), (1, 1), (2, 0)].map(|(seed, step)| step_seed(seed, step));
        assert!((1..3).all(|i| !drawn[..i].contains(&drawn[i])), "{drawn:?}");
        assert_eq!(step_seed(1, 1), drawn[1]);
    }
}
