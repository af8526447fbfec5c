//! A prompt, and which of its samples is wanted.

use cutq_core::example::Example;

use crate::data::Prompt;

/// One answer to be drawn.
#[derive(Clone, Debug)]
pub struct Task {
    /// Unique: the prompt's, and `#k` behind it for the k-th sample of several.
    pub id: String,
    /// The prompt.
    pub example: Example,
    /// The sample's number, counted from 1.
    pub sample: u64,
}

impl Task {
    /// `n_samples` tasks for each prompt, which stay together.
    pub fn of(prompts: &[Prompt], n_samples: usize) -> Vec<Self> {
        let samples = |prompt: &Prompt| {
            let Prompt { id, example } = prompt.clone();
            (1..=n_samples as u64).map(move |sample| Self {
                id: if n_samples > 1 { format!("{id}#{sample}") } else { id.clone() },
                example: example.clone(),
                sample,
            })
        };
        prompts.iter().flat_map(samples).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_prompt_have_its_id_and_their_number() {
        let prompt = |id: &str| Prompt { id: id.to_owned(), example: Example::default() };
        let ids = |n| {
            let tasks = Task::of(&[prompt("a"), prompt("b")], n);
            tasks.into_iter().map(|task| (task.id, task.sample)).collect::<Vec<_>>()
        };
        let named = |id: &str, sample| (id.to_owned(), sample);
        assert_eq!(ids(1), [named("a", 1), named("b", 1)]);
        assert_eq!(ids(2)[1..3], [named("a#2", 2), named("b#1", 1)]);
    }
}
