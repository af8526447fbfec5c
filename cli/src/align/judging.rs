//! The judge of a run, asked about the answers of a stage.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use super::stage::{CALLS, Interrupted, JUDGMENTS};
use crate::console::Console;
use crate::data;
use crate::judge::{Answer, CallLog, Judge, Judged, Judging, Price, Prompt, ask, write_judgments};

/// Who judges, and how.
pub struct RunJudge {
    /// Who; one stage asks at a time.
    pub judge: RefCell<Box<dyn Judge>>,
    /// What a language model is asked.
    pub prompt: Prompt,
    /// The share of answers that are judged twice.
    pub again: f64,
    /// Chooses them.
    pub seed: u64,
    /// Of its tokens, if they cost something.
    pub price: Option<Price>,
    /// What all its replies may cost together.
    pub max_cost: Option<f64>,
    /// The share of calls that may fail.
    pub max_failed: f64,
}

impl RunJudge {
    /// Asks about `answers` what is not in `work/calls.jsonl` yet, and writes `work/judgments.jsonl`.
    ///
    /// # Errors
    /// A judge that fails too often, files that cannot be used, an interrupt.
    pub(super) fn judge(
        &self,
        answers: &Path,
        work: &Path,
        console: Console,
        stops: &dyn Fn() -> bool,
    ) -> Result<()> {
        let answers = data::answers(answers)?;
        let answers: Vec<Arc<Answer>> = answers.into_iter().map(Arc::new).collect();
        let mut judge = self.judge.borrow_mut();
        let mut log = CallLog::open(&work.join(CALLS))?;
        let judging = Judging { prompt: &self.prompt, again: self.again, seed: self.seed };
        let calls = judging.calls(judge.name(), &answers)?;
        ask(&mut **judge, &calls, &mut log, console, stops)?;
        if stops() {
            return Err(Interrupted.into());
        }
        let Judged { judgments, counts, with_itself } = calls.read(&log);
        console.note(format_args!("  {counts}"));
        if let Some(share) = with_itself.share() {
            let n = with_itself.n();
            console.note(format_args!("  the judge agrees with itself on {share:.2} of {n}"));
        }
        if counts.judged() == 0 && counts.unasked > 0 {
            // Who goes away before the first answer has not judged: the stage waits for them.
            return Err(Interrupted.into());
        }
        counts.check(self.max_failed, Some(judge.name()))?;
        write_judgments(&work.join(JUDGMENTS), judge.name(), &answers, &judgments)
    }
}
