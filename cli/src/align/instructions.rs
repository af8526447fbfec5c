//! Which prompts a round answers: new ones, until they run out.

use cutq_core::order::permutation;

use crate::data::Prompt;
use crate::sampling::Task;

/// The tasks of a round: `n` places of an endless list that goes through all prompts again and again,
/// each time in another order and with the next sample of each.
///
/// So no round repeats a prompt before all have been answered, and an answer is never repeated.
pub(super) fn tasks(prompts: &[Prompt], n: usize, round: usize, seed: u64) -> Vec<Task> {
    let first = (round - 1) * n;
    let place = |place: usize| {
        let (pass, at) = (place / prompts.len(), place % prompts.len());
        let prompt = &prompts[permutation(prompts.len(), seed, pass as u64)[at]];
        let sample = pass as u64 + 1;
        let id = match pass {
            0 => prompt.id.clone(),
            _ => format!("{}#{sample}", prompt.id),
        };
        Task { id, example: prompt.example.clone(), sample }
    };
    (first..first + n).map(place).collect()
}

/// Whether a round answers prompts again that were answered before.
pub(super) fn repeats(n_prompts: usize, n: usize, round: usize) -> bool {
    round * n > n_prompts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use cutq_core::example::Example;

    #[test]
    fn prompts_are_new_until_they_run_out_and_then_another_sample() {
        let prompt = |i: usize| Prompt { id: i.to_string(), example: Example::default() };
        let prompts: Vec<_> = (0..10).map(prompt).collect();
        let ids = |round| {
            tasks(&prompts, 4, round, 7).into_iter().map(|task| task.id).collect::<Vec<_>>()
        };
        let all: Vec<_> = (1..=5).flat_map(ids).collect();
        assert_eq!(all[..10].iter().collect::<HashSet<_>>().len(), 10);
        assert!(all[..10].iter().all(|id| !id.contains('#')));
        assert!(all[10..].iter().all(|id| id.ends_with("#2")));
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 20, "no answer is repeated");
        assert!(!repeats(10, 4, 2) && repeats(10, 4, 3));
        assert_eq!(ids(2), ids(2));
    }
}
