//! The answers of a sitting, and what became of each.
//!
//! They come in one order, and all before the present one are done. So undoing is a step back.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::complaints::frequent;
use super::draft::{Draft, Refusal};
use super::pace::Pace;
use super::sheet::{Counts, Fate, Sheet};
use crate::data::Answer;
use crate::judge::call::Call;
use crate::judge::reply::{Outcome, Reply};

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Nothing is wrong with the answer.
    Good,
    /// Something is.
    Criticise,
    /// Not now.
    Skip,
    /// Back to the answer before.
    Undo,
    /// Enough for now: to the end.
    Leave,
    /// At the end: that was all.
    Finish,
}

/// The answers of a sitting.
pub struct Pile {
    sheets: Vec<Sheet>,
    /// The present one.
    at: usize,
    /// Whether the person has had enough.
    is_left: bool,
    is_finished: bool,
    /// Counts what was done, so that nobody decides about what they do not see.
    turn: u64,
    /// When the present one was shown.
    since: Instant,
    pace: Pace,
    /// Criticism of sittings before.
    said: Vec<String>,
}

impl Pile {
    /// The answers that `calls` are about, behind those that are `answered`; `turn` is the first, and
    /// `said` is criticism of others.
    pub fn new(answered: &[(Call, Reply)], calls: &[Call], turn: u64, said: &[String]) -> Self {
        let before = answered.iter().map(Sheet::answered);
        Self {
            sheets: before.chain(calls.iter().map(Sheet::open)).collect(),
            at: answered.len(),
            is_left: false,
            is_finished: false,
            turn,
            since: Instant::now(),
            pace: Pace::default(),
            said: said.to_vec(),
        }
    }

    /// The answer that is shown, and what was written about it; none at the end.
    pub fn present(&self) -> Option<(&Answer, &Draft)> {
        let sheet = self.sheets.get(self.at).filter(|_| !self.is_left)?;
        Some((&sheet.call.answer, &sheet.draft))
    }

    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.at + 1
    }

    /// Changes with everything that is done.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Whether that was all.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether there is something to undo.
    pub fn can_undo(&self) -> bool {
        self.at > 0 || self.is_left
    }

    /// What became of the answers.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.sheets)
    }

    /// How long the rest will take; unknown before the first judgment.
    pub fn left(&self) -> Option<Duration> {
        self.pace.of(self.sheets.len() - self.at)
    }

    /// What was criticised most often.
    pub fn complaints(&self) -> Vec<&str> {
        let said = self.said.iter().map(String::as_str);
        frequent(said.chain(self.sheets.iter().filter_map(Sheet::criticism)))
    }

    /// All criticism, of this sitting and those before.
    pub fn into_said(mut self) -> Vec<String> {
        self.said.extend(self.sheets.iter().filter_map(Sheet::criticism).map(str::to_owned));
        self.said
    }

    /// Does what the person wants, who has written `draft` about the present answer. What comes back is
    /// to be saved before anything else is shown.
    ///
    /// # Errors
    /// Why it is not done; then nothing has changed.
    pub fn act(&mut self, act: Act, draft: Draft) -> Result<Option<Reply>, Refusal> {
        let reply = match act {
            Act::Good | Act::Criticise => Some(self.judge(act, draft)?),
            Act::Skip => {
                self.keep(draft)?;
                self.sheets[self.at].fate = Fate::Skipped;
                self.at += 1;
                None
            }
            Act::Undo => self.undo(draft)?,
            Act::Leave => {
                self.keep(draft)?;
                self.is_left = true;
                None
            }
            Act::Finish if self.present().is_some() => return Err(Refusal::NotHere),
            Act::Finish => {
                self.is_finished = true;
                None
            }
        };
        self.turn += 1;
        self.since = Instant::now();
        Ok(reply)
    }

    fn judge(&mut self, act: Act, draft: Draft) -> Result<Reply, Refusal> {
        let (answer, _) = self.present().ok_or(Refusal::NotHere)?;
        let (fate, line) = match act {
            Act::Good if !draft.is_empty() => return Err(Refusal::GoodWithCriticism),
            Act::Good => (Fate::Good, Draft::good()),
            _ => (Fate::Criticised, draft.line(&answer.response)?),
        };
        let took = self.since.elapsed();
        self.pace.add(took);
        let sheet = &mut self.sheets[self.at];
        (sheet.fate, sheet.draft) = (fate, draft);
        self.at += 1;
        Ok(sheet.reply(Outcome::Answered, line, took))
    }

    /// Keeps what is written about the present answer until it is shown again.
    fn keep(&mut self, draft: Draft) -> Result<(), Refusal> {
        let (answer, _) = self.present().ok_or(Refusal::NotHere)?;
        if !draft.fits(&answer.response) {
            return Err(Refusal::Misquote);
        }
        self.sheets[self.at].draft = draft;
        Ok(())
    }

    fn undo(&mut self, draft: Draft) -> Result<Option<Reply>, Refusal> {
        if !self.can_undo() {
            return Err(Refusal::NothingDone);
        }
        if self.is_left {
            self.is_left = false;
            return Ok(None);
        }
        if self.present().is_some() {
            self.keep(draft)?;
        }
        self.at -= 1;
        let sheet = &mut self.sheets[self.at];
        let was = std::mem::replace(&mut sheet.fate, Fate::Open);
        let is_saved = matches!(was, Fate::Good | Fate::Criticised);
        Ok(is_saved.then(|| sheet.reply(Outcome::Withdrawn, String::new(), Duration::ZERO)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;

    use cutq_core::example::Message;

    use crate::judge::call::Key;

    /// A call about an answer that is its own name.
    pub fn call(name: &str) -> Call {
        let messages = vec![Message::new("user", "Name a bird.")];
        let (id, response, fields) = (name.to_owned(), name.to_owned(), serde_json::Map::new());
        let answer = Arc::new(Answer { id, messages, response, fields });
        Call { key: Key::new([name]), answer, messages: Vec::new() }
    }

    fn said(text: &str) -> Draft {
        Draft { judgment: text.to_owned(), quotes: Vec::new() }
    }

    fn shown(pile: &Pile) -> Option<(&str, &str)> {
        pile.present().map(|(answer, draft)| (&*answer.response, &*draft.judgment))
    }

    #[test]
    fn undoing_goes_back_through_everything_that_was_done() {
        let before = call("a");
        let reply =
            Reply::new(before.key.clone(), Outcome::Answered, Draft::good(), Duration::ZERO);
        let mut pile = Pile::new(&[(before, reply)], &["b", "c", "d"].map(call), 0, &[]);
        let mut outcomes = Vec::new();
        for (act, text, expected) in [
            (Act::Criticise, "No bird.", Some(("c", ""))),
            (Act::Skip, "", Some(("d", ""))),
            (Act::Good, "", None),
            (Act::Undo, "", Some(("d", ""))),
            (Act::Undo, "half of", Some(("c", ""))),
            (Act::Undo, "", Some(("b", "No bird."))),
            (Act::Undo, "No bird.", Some(("a", ""))),
            (Act::Good, "", Some(("b", "No bird."))),
            (Act::Good, "", Some(("c", ""))),
            (Act::Good, "", Some(("d", "half of"))),
            (Act::Leave, "half of", None),
            (Act::Undo, "", Some(("d", "half of"))),
        ] {
            outcomes
                .extend(pile.act(act, said(text)).expect("can be done").map(|reply| reply.outcome));
            assert_eq!(shown(&pile), expected, "after {act:?}");
        }
        use Outcome::{Answered, Withdrawn};
        let [one, two, three] = [[Answered; 2], [Withdrawn; 2], [Withdrawn, Answered]];
        assert_eq!(outcomes, [&one[..], &two, &three, &[Answered; 2]].concat());
        assert_eq!(pile.counts(), Counts { total: 4, good: 3, open: 1, ..Counts::default() });
    }

    #[test]
    fn what_cannot_be_done_changes_nothing() {
        let mut pile = Pile::new(&[], &[call("a")], 0, &[]);
        for (act, text, expected) in [
            (Act::Undo, "", Refusal::NothingDone),
            (Act::Finish, "", Refusal::NotHere),
            (Act::Criticise, "", Refusal::Empty),
            (Act::Good, "Wrong.", Refusal::GoodWithCriticism),
        ] {
            assert_eq!(pile.act(act, said(text)), Err(expected));
            assert_eq!((pile.turn(), shown(&pile)), (0, Some(("a", ""))));
        }
        pile.act(Act::Skip, Draft::default()).expect("skips");
        for act in [Act::Skip, Act::Good, Act::Criticise, Act::Leave] {
            assert_eq!(pile.act(act, said("x")), Err(Refusal::NotHere));
        }
        pile.act(Act::Finish, Draft::default()).expect("the end");
        assert!(pile.is_finished());
    }

    #[test]
    fn criticism_is_remembered_over_sittings() {
        let before = call("a");
        let line = said("Loud.").line("a").expect("criticism");
        let reply = Reply::new(before.key.clone(), Outcome::Answered, line, Duration::ZERO);
        let old = ["Old.".to_owned(), "Loud.".to_owned()];
        let mut pile = Pile::new(&[(before, reply)], &["b", "c"].map(call), 0, &old);
        assert_eq!(pile.complaints(), ["Loud.", "Old."]);
        assert_eq!(pile.left(), None);
        pile.act(Act::Criticise, said("New.")).expect("criticism");
        assert_eq!(pile.complaints(), ["Loud.", "New.", "Old."]);
        assert!(pile.left().is_some_and(|left| left < Duration::from_secs(1)));
        assert_eq!(pile.into_said(), ["Old.", "Loud.", "Loud.", "New."]);
    }
}
