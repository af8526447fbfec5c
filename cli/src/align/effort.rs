//! What a run has taken: calls of the judge, what they cost, time.

use anyhow::Result;

use super::folder::AlignFolder;
use super::stage::{CALLS, Stage};
use crate::judge::{CallLog, Price, Reply};

/// What stages have taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Effort {
    /// Attempts to ask the judge; the dry round's are the first of round 1.
    pub calls: usize,
    /// What they cost, if there is a price.
    pub cost: Option<f64>,
    /// Time, of each by the process that completed it.
    pub seconds: f64,
}

impl Effort {
    /// What a round has taken.
    ///
    /// # Errors
    /// Replies that cannot be read.
    pub fn of(folder: &AlignFolder, round: usize, price: Option<Price>) -> Result<Self> {
        let stages = [
            folder.sample(round),
            folder.judge(round),
            folder.data(round),
            folder.train(round),
            folder.eval(round),
        ];
        Self::of_stages(&stages, price)
    }

    /// What some stages have taken.
    ///
    /// # Errors
    /// Replies that cannot be read.
    pub fn of_stages(stages: &[Stage], price: Option<Price>) -> Result<Self> {
        let replies = all_replies(stages)?;
        Ok(Self {
            calls: replies.len(),
            cost: price.map(|price| price.of_all(&replies)),
            seconds: stages.iter().filter_map(Stage::seconds).sum(),
        })
    }
}

/// What all calls of a run have cost so far, of the stages that are not complete too.
///
/// # Errors
/// Replies that cannot be read.
pub fn cost(folder: &AlignFolder, rounds: usize, price: Price) -> Result<f64> {
    let stages = |round: usize| [folder.judge(round), folder.eval(round), folder.test(round)];
    let mut stages: Vec<Stage> = (0..=rounds).flat_map(stages).collect();
    // Round 1 begins with the dry round's replies.
    if folder.judge(1).found(CALLS).is_none() {
        stages.push(folder.dry());
    }
    Ok(price.of_all(&all_replies(&stages)?))
}

fn all_replies(stages: &[Stage]) -> Result<Vec<Reply>> {
    let logs = stages.iter().filter_map(|stage| stage.found(CALLS));
    let replies = logs.map(|log| Ok(CallLog::read(&log)?)).collect::<Result<Vec<_>>>()?;
    Ok(replies.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// A reply that cost 1 at [`PRICE`].
    const LINE: &str = r#"{"key":"0","attempt":1,"outcome":"http","text":"","ms":3000,"usage":{"prompt_tokens":1,"completion_tokens":0}}"#;
    const PRICE: Price = Price { input: 1e6, output: 0.0 };

    fn write(folder: &Path, n: usize) {
        fs::create_dir_all(folder).expect("a folder");
        let torn = &LINE[..20];
        fs::write(folder.join(CALLS), format!("{LINE}\n").repeat(n) + torn).expect("writes");
    }

    #[test]
    fn every_reply_counts_once_whether_its_stage_is_complete_or_not() {
        let place = tempfile::tempdir().expect("a place");
        let folder = AlignFolder::open(place.path()).expect("a folder");
        let cost = || cost(&folder, 2, PRICE).expect("reads");
        assert_eq!(cost(), 0.0);
        write(&place.path().join("dry.tmp"), 2);
        assert_eq!(cost(), 2.0);
        write(&folder.round(0).join("eval"), 3);
        write(&folder.round(1).join("judge.tmp"), 7);
        assert_eq!(cost(), 10.0, "the dry round is a part of round 1");
        write(&place.path().join("test/0"), 11);
        assert_eq!(cost(), 21.0);
        let effort = Effort::of(&folder, 1, Some(PRICE)).expect("reads");
        assert_eq!((effort.calls, effort.cost), (7, Some(7.0)));
        assert_eq!(Effort::of(&folder, 1, None).expect("reads").cost, None);
    }
}
