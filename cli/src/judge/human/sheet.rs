//! An answer, and what became of it.

use std::time::Duration;

use serde::Serialize;

use super::draft::Draft;
use crate::judge::call::Call;
use crate::judge::reply::{Outcome, Reply};

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Open,
    /// Nothing is wrong with it.
    Good,
    /// Something is.
    Criticised,
    /// Not now.
    Skipped,
}

/// Answers by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Nothing is wrong with them.
    pub good: usize,
    /// Something is.
    pub criticised: usize,
    /// Not now.
    pub skipped: usize,
    /// The rest.
    pub open: usize,
}

/// An answer with what was done about it.
pub struct Sheet {
    /// What is asked about it.
    pub call: Call,
    /// See [`Fate`].
    pub fate: Fate,
    /// What is written about it, saved or not.
    pub draft: Draft,
    /// Replies about it so far.
    attempts: u32,
}

impl Sheet {
    /// One that nothing is said of.
    pub fn open(call: &Call) -> Self {
        Self { call: call.clone(), fate: Fate::Open, draft: Draft::default(), attempts: 0 }
    }

    /// One that was judged in a sitting before.
    pub fn answered((call, reply): &(Call, Reply)) -> Self {
        let draft = Draft::of_reply(reply.text.as_deref().unwrap_or_default());
        let fate = if draft.is_some() { Fate::Criticised } else { Fate::Good };
        let draft = draft.unwrap_or_default();
        Self { fate, draft, attempts: reply.attempt, ..Self::open(call) }
    }

    /// The next reply about it.
    pub fn reply(&mut self, outcome: Outcome, text: String, took: Duration) -> Reply {
        self.attempts += 1;
        let attempt = self.attempts;
        Reply { attempt, ..Reply::new(self.call.key.clone(), outcome, text, took) }
    }

    /// What is wrong with it, if that is saved.
    pub fn criticism(&self) -> Option<&str> {
        (self.fate == Fate::Criticised).then(|| self.draft.judgment.trim())
    }
}

impl Counts {
    /// Of these.
    pub fn of(sheets: &[Sheet]) -> Self {
        let mut counts = Self { total: sheets.len(), ..Self::default() };
        for sheet in sheets {
            *match sheet.fate {
                Fate::Open => &mut counts.open,
                Fate::Good => &mut counts.good,
                Fate::Criticised => &mut counts.criticised,
                Fate::Skipped => &mut counts.skipped,
            } += 1;
        }
        counts
    }
}
