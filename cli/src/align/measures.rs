//! What answers are like: how many pass, how long they are, how much they repeat themselves.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use super::interval::{Interval, mean};
use super::judged::Judged;
use crate::judge::Verdict;

/// What judged answers are like.
#[derive(Clone, Debug, PartialEq)]
pub struct Measures {
    /// Answers.
    pub answers: usize,
    /// Of them those of which it is known whether they pass.
    pub judged: usize,
    /// Of these those that do.
    pub passed: usize,
    /// Calls that failed.
    pub failed: usize,
    /// Answers of which the judge is unsure.
    pub unsure: usize,
    /// Answers that were cut.
    pub truncated: usize,
    /// Answers without text.
    pub empty: usize,
    /// Mean of their tokens.
    pub mean_tokens: f64,
    /// Distinct pairs of neighbouring words over all such pairs, of each answer by itself: the mean over
    /// the answers that have one. Near 1 for ordinary text, near 0 for a loop. Counted within answers, it
    /// does not fall with their number. Words are Unicode's (UAX #29): emoji and signs that stand
    /// without blanks are words of their own.
    pub distinct2: Option<f64>,
}

impl Measures {
    /// The measures of these answers.
    pub fn of(answers: &[Judged]) -> Self {
        let count = |is: &dyn Fn(&Judged) -> bool| answers.iter().filter(|a| is(a)).count();
        let tokens: Vec<f64> = answers.iter().map(|a| a.answer.tokens as f64).collect();
        let distinct: Vec<f64> =
            answers.iter().filter_map(|a| distinct2(&a.answer.output)).collect();
        Self {
            answers: answers.len(),
            judged: count(&|a| a.passes().is_some()),
            passed: count(&|a| a.passes() == Some(true)),
            failed: count(&Judged::has_failed),
            unsure: count(&|a| a.verdict() == Some(Verdict::Unsure)),
            truncated: count(&|a| a.answer.truncated),
            empty: count(&Judged::is_empty),
            mean_tokens: mean(&tokens),
            distinct2: (!distinct.is_empty()).then(|| mean(&distinct)),
        }
    }

    /// Those that pass among those of which it is known; none if nothing is known.
    pub fn pass_rate(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.passed as f64 / self.judged as f64)
    }

    /// Its 95 % interval.
    pub fn ci95(&self) -> Option<Interval> {
        Interval::of_share(self.passed, self.judged)
    }

    /// A part of the answers as a share of all.
    pub fn share(&self, part: usize) -> f64 {
        part as f64 / self.answers.max(1) as f64
    }
}

/// The interval of `after − before` over the prompts of which both are known, 1 for one that passes.
pub(super) fn paired(before: &[Judged], after: &[Judged]) -> Option<Interval> {
    let value = |answer: &Judged| answer.passes().map(f64::from);
    let pairs = before.iter().zip(after);
    let differences: Vec<f64> =
        pairs.filter_map(|(before, after)| Some(value(after)? - value(before)?)).collect();
    Interval::of_differences(&differences)
}

fn distinct2(text: &str) -> Option<f64> {
    let words: Vec<&str> = text.split_word_bounds().filter(|w| !w.trim().is_empty()).collect();
    let pairs: Vec<&[&str]> = words.windows(2).collect();
    let distinct = pairs.iter().collect::<HashSet<_>>().len();
    (!pairs.is_empty()).then(|| distinct as f64 / pairs.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::judged::tests::judged;
    use super::*;

    #[test]
    fn what_is_not_known_is_in_no_rate() {
        let answers = [
            judged("1", "a b", Some(Verdict::Perfect)),
            judged("2", "a b c d", Some(Verdict::Fault)),
            judged("3", "", Some(Verdict::Perfect)),
            judged("4", "a b", Some(Verdict::Unsure)),
            judged("5", "a b", None),
        ];
        let found = Measures::of(&answers);
        assert_eq!((found.answers, found.judged, found.passed), (5, 3, 1));
        assert_eq!((found.failed, found.unsure, found.empty), (1, 1, 1));
        assert_eq!((found.mean_tokens, found.pass_rate()), (2.0, Some(1.0 / 3.0)));
        let none = Measures::of(&answers[4..]);
        assert_eq!((none.pass_rate(), none.ci95()), (None, None));
    }

    #[test]
    fn a_loop_is_not_distinct() {
        assert_eq!(distinct2("a b a b a"), Some(0.5));
        assert_eq!(distinct2("one two three"), Some(1.0));
        assert_eq!(distinct2("one"), None);
        assert_eq!(distinct2("🎉🎉🎉🎉🎉"), Some(0.25), "without blanks, too");
        assert_eq!(distinct2("好好好"), Some(0.5));
    }

    #[test]
    fn a_prompt_counts_where_both_sides_are_known() {
        let side = |verdicts: [Option<Verdict>; 4]| verdicts.map(|v| judged("", "a", v));
        let (good, bad) = (Some(Verdict::Perfect), Some(Verdict::Fault));
        let (before, after) = (side([bad, bad, good, None]), side([good, bad, good, good]));
        let expected = Interval::of_differences(&[1.0, 0.0, 0.0]);
        assert_eq!(paired(&before, &after), expected);
    }
}
