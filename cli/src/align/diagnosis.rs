//! Alarms, and one sentence about a round.

use std::collections::HashMap;

use super::judged::Judged;
use super::line::RoundLine;
use super::measures::Measures;
use crate::judge::Verdict;

/// Below this share of the length before training, answers are too short to compare.
const SHORT: f64 = 0.5;
/// More answers without text than before by this share.
const EMPTY: f64 = 0.05;
/// Below this share of the distinct pairs of words before training, answers repeat themselves.
const REPETITIVE: f64 = 0.8;
/// More answers that were cut than before by this share.
const CUT: f64 = 0.25;
/// Nats per token from the base at which a model hardly is the same.
const FAR: f64 = 1.5;
/// Times the perplexity of the base at which a model reads badly.
const BAD_READER: f64 = 2.0;

/// What speaks against a round whose pass rate may have risen all the same.
pub(super) fn alarms(before: &Measures, after: &Measures, line: &RoundLine) -> Vec<String> {
    let mut alarms = Vec::new();
    let mut alarm = |is: bool, text: String| alarms.extend(is.then_some(text));
    let (was, is) = (before.mean_tokens, after.mean_tokens);
    alarm(is < SHORT * was, format!("answers are short: {is:.0} tokens, {was:.0} before training"));
    let (was, is) = (before.share(before.empty), after.share(after.empty));
    alarm(is > was + EMPTY, format!("{:.0} % of the answers are empty", 100.0 * is));
    if let (Some(was), Some(is)) = (before.distinct2, after.distinct2) {
        alarm(
            is < REPETITIVE * was,
            format!("answers repeat themselves: distinct-2 {is:.2}, {was:.2} before training"),
        );
    }
    let (was, is) = (before.share(before.truncated), after.share(after.truncated));
    alarm(is > was + CUT, format!("{:.0} % of the answers do not end", 100.0 * is));
    let kl = line.kl_base.filter(|kl| *kl > FAR);
    alarm(kl.is_some(), format!("far from the base: {:.2} nats per token", kl.unwrap_or_default()));
    let ppl = line.ppl_ratio.filter(|ratio| *ratio > BAD_READER);
    alarm(
        ppl.is_some(),
        format!("other text is read badly: {:.1} × the base's perplexity", ppl.unwrap_or_default()),
    );
    alarms
}

/// One sentence: what the judge complained about most in the answers that the round trained on.
pub(super) fn sentence(trained_on: &[Judged]) -> String {
    let faults: Vec<&str> = trained_on
        .iter()
        .filter(|answer| answer.verdict() == Some(Verdict::Fault))
        .filter_map(|answer| answer.judgment.as_ref()?.judgment.as_deref())
        .collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for fault in &faults {
        *counts.entry(complaint(fault)).or_default() += 1;
    }
    let most = counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
    match most {
        None => "nothing was criticised".to_owned(),
        Some((_, 1)) => format!("{} negatives, each for another reason", faults.len()),
        Some((text, n)) => {
            format!("{n} of {} negatives share one complaint: {text}", faults.len())
        }
    }
}

/// The first sentence of a judgment, without what it quotes, so that two that differ by their quotes
/// are the same.
fn complaint(judgment: &str) -> String {
    let mut text = String::new();
    let mut quoting = None;
    for letter in judgment.trim().chars() {
        match (quoting, closing(letter)) {
            (Some(end), _) if letter == end => quoting = None,
            (Some(_), _) => {}
            (None, Some(end)) => {
                quoting = Some(end);
                text.push('…');
            }
            (None, None) => text.push(letter),
        }
    }
    let end = text.find(['.', '!', '?', '\n', ':', ';']).unwrap_or(text.len());
    text[..end].trim().to_owned()
}

/// The quotation mark that closes what this one opens.
fn closing(letter: char) -> Option<char> {
    match letter {
        '"' | '`' => Some(letter),
        '“' | '„' => Some('”'),
        '«' => Some('»'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::judged::tests::judged;
    use super::super::measures::Measures;
    use super::*;

    #[test]
    fn complaints_that_differ_by_their_quotes_are_one() {
        assert_eq!(complaint("It speaks of itself: \"I\". Bad."), "It speaks of itself");
        assert_eq!(complaint("The word “we” is wrong. No."), "The word … is wrong");
        let fault = |id: &str| judged(id, "I am", Some(Verdict::Fault));
        let answers = [fault("1"), fault("2"), judged("3", "a", Some(Verdict::Perfect))];
        assert_eq!(sentence(&answers), "2 of 2 negatives share one complaint: It says …");
        assert_eq!(sentence(&answers[2..]), "nothing was criticised");
        assert_eq!(sentence(&answers[1..]), "1 negatives, each for another reason");
    }

    #[test]
    fn a_pass_rate_that_rises_by_short_or_empty_answers_has_an_alarm() {
        let answers = |text: &str| [judged("1", text, Some(Verdict::Perfect))];
        let before = Measures::of(&answers("one two three four five six"));
        let found = |text: &str| {
            let after = Measures::of(&answers(text));
            alarms(&before, &after, &RoundLine::new(1, &after))
        };
        assert_eq!(found("six five four three two one"), [""; 0]);
        assert!(found("one two")[0].contains("short: 2 tokens, 6 before"));
        assert!(found(" ").iter().any(|alarm| alarm.contains("100 % of the answers are empty")));
        assert!(found("a b a b a b")[0].contains("repeat themselves: distinct-2 0.40, 1.00"));
        let mut far = RoundLine::new(1, &before);
        (far.kl_base, far.ppl_ratio) = (Some(2.0), Some(3.0));
        let found = alarms(&before, &before, &far);
        assert!(found[0].contains("2.00 nats") && found[1].contains("3.0 ×"), "{found:?}");
    }
}
