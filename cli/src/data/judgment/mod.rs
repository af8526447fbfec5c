//! What kind of thing stands where a judgment should: criticism, praise, or the trace of a call
//! that failed.
//!
//! Criticism that is lost teaches the opposite of what it says. So the other two are recognised
//! only by their full form, and a text in doubt is criticism.

mod explanation;
mod failed_call;
mod grammar;
mod praise;
mod sentence;

/// What a judgment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It says what is wrong with the response.
    Criticism,
    /// It says that the response is good, and nothing else.
    Praise,
    /// Nobody judged: `$ERROR$`, `n/a`, `Request timed out.`
    FailedCall,
}

impl Verdict {
    /// What `judgment` is.
    pub fn of(judgment: &str) -> Self {
        let judgment = judgment.trim();
        if failed_call::is_failed_call(judgment) {
            Self::FailedCall
        } else if praise::praises_only(judgment) {
            Self::Praise
        } else {
            Self::Criticism
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judgments in words of this project, each with what it is; `\n` ends a line.
    const JUDGMENTS: &str = include_str!("judgments.tsv");

    fn labelled() -> Vec<(Verdict, String)> {
        let verdict = |label| match label {
            "criticism" => Verdict::Criticism,
            "praise" => Verdict::Praise,
            "failed" => Verdict::FailedCall,
            other => panic!("no label: {other}"),
        };
        let line = |line: &'static str| line.split_once('\t').expect("a label and a text");
        let text = |text: &str| text.replace(r"\n", "\n");
        JUDGMENTS.lines().map(line).map(|(label, of)| (verdict(label), text(of))).collect()
    }

    /// Precision and recall of one verdict, and what it got wrong.
    fn score(wanted: Verdict) -> (f64, f64, Vec<String>) {
        let labelled = labelled();
        let found: Vec<Verdict> = labelled.iter().map(|(_, text)| Verdict::of(text)).collect();
        let pairs = || labelled.iter().zip(&found);
        let hits = pairs().filter(|((is, _), found)| *is == wanted && **found == wanted).count();
        let is = labelled.iter().filter(|(is, _)| *is == wanted).count();
        let taken = found.iter().filter(|found| **found == wanted).count();
        let wrong = pairs().filter(|((is, _), found)| *is == wanted && **found != wanted);
        let wrong = wrong.map(|((_, text), found)| format!("{found:?}: {text}")).collect();
        (hits as f64 / taken as f64, hits as f64 / is as f64, wrong)
    }

    #[test]
    fn criticism_stays_criticism_and_the_rest_is_found_where_it_is_certain() {
        assert!(labelled().len() >= 200);
        for (verdict, precision_bar, recall_bar) in [
            (Verdict::Criticism, 0.95, 1.0),
            (Verdict::Praise, 1.0, 0.95),
            (Verdict::FailedCall, 1.0, 0.95),
        ] {
            let (precision, recall, wrong) = score(verdict);
            println!(
                "{verdict:?}: precision {precision:.3}, recall {recall:.3}; missed {wrong:#?}"
            );
            assert!(precision >= precision_bar, "{verdict:?}: precision {precision}");
            assert!(recall >= recall_bar, "{verdict:?}: recall {recall}: {wrong:#?}");
        }
    }
    #[test]
    fn criticism_beside_praise_or_a_failed_call_stays_criticism() {
        let labelled = labelled();
        let of =
            |wanted| labelled.iter().filter(move |(is, _)| *is == wanted).map(|(_, text)| text);
        for criticism in of(Verdict::Criticism) {
            for praise in of(Verdict::Praise) {
                for text in [format!("{praise} {criticism}"), format!("{criticism} {praise}")] {
                    assert_ne!(Verdict::of(&text), Verdict::Praise, "{text}");
                }
            }
        }
        let said = "The answer names the wrong city.";
        for failed in of(Verdict::FailedCall) {
            let text = format!("{failed} {said}");
            assert_eq!(Verdict::of(&text), Verdict::Criticism, "{text}");
        }
    }
}
