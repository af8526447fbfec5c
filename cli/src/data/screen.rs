//! Takes out what would teach the wrong thing: duplicates, failed judge calls, praise taken as
//! criticism, too many positives.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use clap::ValueEnum;
use cutq_core::example::Example;
use cutq_core::order::choose;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::judgment::Verdict;
use super::quotes;
use super::record::{Origin, Record};
use super::tally::Tally;

/// What to do with an example that occurred before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDuplicate {
    /// Train on each of them
    Keep,
    /// Keep the first
    Drop,
}

/// What to do with an example whose judgment is the trace of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailedJudge {
    /// Leave the example out: it is neither good nor criticised
    Drop,
    /// Take the text as a judgment
    Keep,
    /// Stop and name the example
    Error,
}

/// What to do with an example whose judgment only praises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnPraise {
    /// Train on the example as a positive one
    Positive,
    /// Take the praise as criticism
    Keep,
    /// Leave the example out
    Drop,
}

/// How records are screened.
#[derive(Clone, Debug)]
pub struct Screening {
    /// Repeated examples.
    pub on_duplicate: OnDuplicate,
    /// Failed judge calls.
    pub on_failed_judge: OnFailedJudge,
    /// Praise.
    pub on_praise: OnPraise,
    /// At most this many positives per negative; `None` keeps all.
    pub positive_ratio: Option<f64>,
    /// Decides which positives stay.
    pub seed: u64,
}

/// What screening did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScreenReport {
    /// Records before screening.
    pub read: usize,
    /// Examples that occurred before.
    pub duplicates: Tally,
    /// Judgments that are failed calls.
    pub failed_judge: Tally,
    /// Judgments that only praise.
    pub praise: Tally,
    /// Truncated responses that nobody criticises, which are left out: the end is missing.
    pub truncated: Tally,
    /// Judgments that quote what is wrong.
    pub quoting: usize,
    /// Positives left out by the ratio.
    pub surplus_positives: usize,
    /// Positives after screening.
    pub positives: usize,
    /// Negatives after screening.
    pub negatives: usize,
}

/// Why screening stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScreenError {
    /// A failed judge call under [`OnFailedJudge::Error`].
    #[error(
        "{origin}: the judgment {judgment:?} is a failed judge call\nhint: --on-failed-judge drop \
         leaves such examples out"
    )]
    FailedJudge {
        /// Where it is.
        origin: Origin,
        /// Its text.
        judgment: String,
    },
    /// Screening left nothing.
    #[error(
        "none of the {read} examples is left: {duplicates} duplicates, {failed_judge} failed judge \
         calls, {praise} that only praise, {truncated} truncated without criticism, \
         {surplus_positives} positives above --positive-ratio"
    )]
    NothingLeft {
        /// Records before screening.
        read: usize,
        /// Duplicates found.
        duplicates: usize,
        /// Failed calls found.
        failed_judge: usize,
        /// Praise found.
        praise: usize,
        /// Truncated positives left out.
        truncated: usize,
        /// Positives left out.
        surplus_positives: usize,
    },
}

impl Screening {
    /// Applies every rule and counts what it found; the order of the records stays.
    ///
    /// # Errors
    /// A failed judge call under [`OnFailedJudge::Error`]; nothing left.
    pub fn apply(&self, records: Vec<Record>) -> Result<(Vec<Record>, ScreenReport), ScreenError> {
        let mut report = ScreenReport { read: records.len(), ..ScreenReport::default() };
        let mut seen = HashSet::new();
        // The vector keeps its place: there may be millions of records.
        let kept = records.into_iter().map(|record| {
            if !seen.insert(identity(&record.example)) {
                report.duplicates.add(&record.origin, &record.example.response);
                if self.on_duplicate == OnDuplicate::Drop {
                    return Ok(None);
                }
            }
            self.judge(record, &mut report)
        });
        let kept = kept.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        drop(seen);
        let kept = complete(kept, &mut report);
        let kept = self.limit_positives(kept, &mut report);
        if kept.is_empty() {
            return Err(ScreenError::NothingLeft {
                read: report.read,
                duplicates: report.duplicates.count,
                failed_judge: report.failed_judge.count,
                praise: report.praise.count,
                truncated: report.truncated.count,
                surplus_positives: report.surplus_positives,
            });
        }
        Ok((kept, report))
    }

    /// The record if it stays, without its judgment if that only praises.
    fn judge(
        &self,
        mut record: Record,
        report: &mut ScreenReport,
    ) -> Result<Option<Record>, ScreenError> {
        let Some(judgment) = &record.example.judgment else {
            return Ok(Some(record));
        };
        match Verdict::of(judgment) {
            Verdict::Criticism => {}
            Verdict::FailedCall => {
                report.failed_judge.add(&record.origin, judgment);
                match self.on_failed_judge {
                    OnFailedJudge::Drop => return Ok(None),
                    OnFailedJudge::Keep => {}
                    OnFailedJudge::Error => {
                        let (judgment, origin) = (judgment.clone(), record.origin);
                        return Err(ScreenError::FailedJudge { judgment, origin });
                    }
                }
            }
            Verdict::Praise => {
                report.praise.add(&record.origin, judgment);
                match self.on_praise {
                    OnPraise::Drop => return Ok(None),
                    OnPraise::Keep => {}
                    OnPraise::Positive => record.example.judgment = None,
                }
            }
        }
        Ok(Some(record))
    }

    fn limit_positives(&self, mut records: Vec<Record>, report: &mut ScreenReport) -> Vec<Record> {
        let positives = records.iter().filter(|record| !record.example.is_judged()).count();
        report.negatives = records.len() - positives;
        let limit = self.positive_ratio.map_or(positives, |ratio| {
            // A ratio such as 0.25 is exact, so the floor of the product is what a reader expects.
            (ratio * report.negatives as f64).floor() as usize
        });
        report.positives = limit.min(positives);
        report.surplus_positives = positives - report.positives;
        if report.surplus_positives > 0 {
            let chosen: HashSet<usize> = choose(positives, limit, self.seed).into_iter().collect();
            let mut numbers = 0..;
            records.retain(|record| {
                record.example.is_judged() || numbers.next().is_some_and(|n| chosen.contains(&n))
            });
        }
        records
    }
}

/// Leaves out truncated positives, and marks what judgments quote.
fn complete(mut records: Vec<Record>, report: &mut ScreenReport) -> Vec<Record> {
    records.retain(|Record { example, origin }| {
        let is_end_missing = example.truncated && !example.is_judged();
        if is_end_missing {
            report.truncated.add(origin, &example.response);
        }
        !is_end_missing
    });
    for Record { example, .. } in &mut records {
        if let Some(judgment) = example.judgment.as_ref().filter(|_| example.quotes.is_empty()) {
            example.quotes = quotes::within(judgment, &example.response);
        }
        report.quoting += usize::from(!example.quotes.is_empty());
    }
    records
}

/// What two records have in common exactly if they are the same example: 128 bits of its hash, much
/// smaller than the example.
fn identity(example: &Example) -> [u8; 16] {
    struct Bytes(Sha256);
    impl Hasher for Bytes {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            unreachable!("the digest is taken instead")
        }
    }
    let mut bytes = Bytes(Sha256::new());
    example.hash(&mut bytes);
    *bytes.0.finalize().first_chunk().expect("the hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn record(line: usize, response: &str, judgment: Option<&str>) -> Record {
        Record {
            example: Example::from_instruction("i", "", response, judgment),
            origin: Origin { file: Path::new("d").into(), line },
        }
    }

    fn screening() -> Screening {
        Screening {
            on_duplicate: OnDuplicate::Drop,
            on_failed_judge: OnFailedJudge::Drop,
            on_praise: OnPraise::Positive,
            positive_ratio: None,
            seed: 42,
        }
    }

    fn records() -> Vec<Record> {
        vec![
            record(1, "a", Some("Wrong.")),
            record(2, "a", Some("Wrong.")),
            record(3, "b", Some("$ERROR$")),
            record(4, "c", Some("The response is perfect.")),
            record(5, "d", None),
        ]
    }

    fn lines(records: &[Record]) -> Vec<usize> {
        records.iter().map(|r| r.origin.line).collect()
    }

    #[test]
    fn defaults_drop_and_convert() {
        let (kept, report) = screening().apply(records()).expect("some are left");
        assert_eq!(lines(&kept), [1, 4, 5]);
        assert_eq!(kept[1].example.judgment, None);
        let counts = [&report.duplicates, &report.failed_judge, &report.praise];
        assert_eq!(counts.map(|tally| tally.count), [1, 1, 1]);
        assert_eq!(report.praise.samples[0].origin, "d:4");
        let left = (report.read, report.surplus_positives, report.positives, report.negatives);
        assert_eq!(left, (5, 0, 2, 1));
    }

    #[test]
    fn each_rule_can_be_switched() {
        let keep = Screening {
            on_duplicate: OnDuplicate::Keep,
            on_failed_judge: OnFailedJudge::Keep,
            on_praise: OnPraise::Keep,
            ..screening()
        };
        let (kept, report) = keep.apply(records()).expect("all are left");
        assert_eq!((lines(&kept), report.negatives), (vec![1, 2, 3, 4, 5], 4));
        let strict = Screening { on_failed_judge: OnFailedJudge::Error, ..screening() };
        let error = strict.apply(records()).expect_err("line 3").to_string();
        assert!(error.starts_with("d:3: "), "{error}");
        let drop = Screening { on_praise: OnPraise::Drop, ..screening() };
        assert_eq!(lines(&drop.apply(records()).expect("some").0), [1, 5]);
    }

    #[test]
    fn the_ratio_limits_positives_and_the_seed_chooses() {
        let mut data: Vec<_> = (0..40).map(|i| record(i, &format!("p{i}"), None)).collect();
        data.extend((40..60).map(|i| record(i, &format!("n{i}"), Some("Wrong."))));
        let apply = |seed| {
            let quarter = Screening { positive_ratio: Some(0.25), seed, ..screening() };
            quarter.apply(data.clone()).expect("some are left")
        };
        let (first, report) = apply(1);
        assert_eq!((report.positives, report.surplus_positives), (5, 35));
        assert_eq!(lines(&first), lines(&apply(1).0));
        assert_ne!(lines(&first), lines(&apply(2).0));
    }

    #[test]
    fn nothing_left_is_an_error_with_counts() {
        let none = Screening { positive_ratio: Some(0.25), ..screening() };
        let error = none.apply(vec![record(1, "a", None)]).expect_err("no negatives");
        assert!(error.to_string().contains("1 positives above"), "{error}");
    }
}
