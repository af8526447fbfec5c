//! Examples set aside to measure on.

use std::collections::HashSet;

use cutq_core::order::choose;

/// Splits off `fraction` of the items, at least one, for evaluation: (training, held out).
///
/// The choice depends on the seed and the number of items alone; both parts keep their order.
pub fn hold_out<T>(items: Vec<T>, fraction: f64, seed: u64) -> (Vec<T>, Vec<T>) {
    let count = ((items.len() as f64 * fraction).round() as usize).max(1);
    let chosen: HashSet<usize> = choose(items.len(), count, seed).into_iter().collect();
    let (held, train): (Vec<_>, Vec<_>) =
        (0..).zip(items).partition(|(i, _): &(usize, T)| chosen.contains(i));
    let strip = |part: Vec<(usize, T)>| part.into_iter().map(|(_, item)| item).collect();
    (strip(train), strip(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_and_training_are_a_partition() {
        let (train, held) = hold_out((0..10).collect(), 0.2, 42);
        assert_eq!((train.len(), held.len()), (8, 2));
        let mut all = [train, held].concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(hold_out(vec![1, 2], 0.01, 42).1.len(), 1);
    }
}
