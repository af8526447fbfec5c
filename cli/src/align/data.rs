//! From judged answers to training data.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use cutq_core::order::choose;
use serde::{Deserialize, Serialize};

use super::judged::Judged;
use crate::judge::Verdict;

/// What became of a round's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Answers of which the judge said something, unsure or not.
    pub judged: usize,
    /// Criticised answers to train on.
    pub negatives: usize,
    /// Good answers to train on.
    pub positives: usize,
    /// Good answers above the ratio.
    pub surplus_positives: usize,
    /// Good answers that were cut: their end is missing.
    pub truncated_positives: usize,
    /// Answers without text, from which nothing can be learned.
    pub empty: usize,
    /// Answers of which the judge is unsure.
    pub unsure: usize,
    /// Failed calls.
    pub failed: usize,
}

/// The answers to train on, in their order, and what became of the others: all that are criticised,
/// and at most `positive_ratio` times as many good ones, which `seed` chooses.
///
/// What was cut has no end to learn, so it is never a good one.
pub(super) fn select(answers: &[Judged], positive_ratio: f64, seed: u64) -> (Vec<&Judged>, Counts) {
    let mut counts = Counts::default();
    let mut positives = Vec::new();
    let mut kept = HashSet::new();
    for (index, answer) in answers.iter().enumerate() {
        counts.judged += usize::from(answer.judgment.is_some());
        match answer.verdict() {
            _ if answer.is_empty() => counts.empty += 1,
            None => counts.failed += 1,
            Some(Verdict::Unsure) => counts.unsure += 1,
            Some(Verdict::Fault) => _ = kept.insert(index),
            Some(_) if answer.answer.truncated => counts.truncated_positives += 1,
            Some(_) => positives.push(index),
        }
    }
    counts.negatives = kept.len();
    let limit = (positive_ratio * counts.negatives as f64).floor() as usize;
    let chosen = choose(positives.len(), limit, seed);
    counts.positives = chosen.len();
    counts.surplus_positives = positives.len() - chosen.len();
    kept.extend(chosen.into_iter().map(|i| positives[i]));
    let kept = answers.iter().enumerate().filter(|(index, _)| kept.contains(index));
    (kept.map(|(_, answer)| answer).collect(), counts)
}

/// Writes the lines of these answers.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write(path: &Path, answers: &[&Judged]) -> Result<()> {
    let lines = answers.iter().filter_map(|answer| answer.judgment.as_ref());
    let lines: Vec<String> = lines
        .map(|judgment| serde_json::to_string(&judgment.line).expect("names are strings"))
        .collect();
    cutq_ffi::replace_file(path, |file| lines.iter().try_for_each(|line| writeln!(file, "{line}")))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::judged::tests::judged;
    use super::*;

    #[test]
    fn only_whole_good_answers_are_positives_and_few_of_them() {
        let good = Some(Verdict::Perfect);
        let mut answers: Vec<_> = (0..8).map(|i| judged(&i.to_string(), "a", good)).collect();
        answers.extend((8..12).map(|i| judged(&i.to_string(), "b", Some(Verdict::Fault))));
        answers.push(judged("cut", "a", good));
        answers.last_mut().expect("just added").answer.truncated = true;
        answers.push(judged("empty", " ", good));
        answers.push(judged("unsure", "a", Some(Verdict::Unsure)));
        answers.push(judged("failed", "a", None));
        let (kept, counts) = select(&answers, 0.5, 1);
        let expected = Counts {
            judged: 15,
            negatives: 4,
            positives: 2,
            surplus_positives: 6,
            truncated_positives: 1,
            empty: 1,
            unsure: 1,
            failed: 1,
        };
        assert_eq!(counts, expected);
        assert_eq!(kept.len(), 6);
        let ids = |kept: &[&Judged]| kept.iter().map(|a| a.answer.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&kept), ids(&select(&answers, 0.5, 1).0), "the seed chooses");
        assert!(ids(&kept)[2..].iter().eq(["8", "9", "10", "11"].iter()), "the order stays");
        assert_eq!(select(&answers, 0.0, 1).1.positives, 0);
    }
}
