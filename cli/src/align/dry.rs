//! The dry round: the first prompts of the first round, before hours are spent. Is there a signal?

use anyhow::{Result, bail};

use super::forecast::Forecast;
use super::judged::Judged;
use super::measures::Measures;
use super::rounds::Rounds;
use super::stage::{ANSWERS, JUDGMENTS};
use super::stages::Wanted;

/// Prompts of the dry round.
const PROMPTS: usize = 20;

impl Rounds<'_> {
    /// Answers and judges a few prompts, and says what the whole will take.
    ///
    /// # Errors
    /// Nothing that could be learned: every answer passes, none does, or the judge fails.
    pub(super) fn dry(&self) -> Result<()> {
        let stages = self.stages;
        let tasks = &self.tasks(1)[..PROMPTS.min(stages.settings.rounds.samples_per_round)];
        let stage = stages.folder.dry();
        stage.run(|work| {
            stages.console.note(format_args!("dry round: {} prompts", tasks.len()));
            let wanted = Wanted { tasks, sampling: stages.settings.sampling, round: 0 };
            stages.sample_and_judge(work, &wanted)?;
            let answers = Judged::read(&work.join(ANSWERS), &work.join(JUDGMENTS))?;
            stages.select(work, 1, &answers)
        })?;
        let answers = Judged::read(&stage.file(ANSWERS), &stage.file(JUDGMENTS))?;
        let measures = Measures::of(&answers);
        let begins = !stages.folder.eval(0).is_done();
        if begins {
            let Measures { judged, passed, failed, unsure, .. } = measures;
            stages.console.note(format_args!(
                "  {passed} of {judged} pass, {failed} without a judgment, {unsure} unsure"
            ));
        }
        refuse_without_signal(&measures)?;
        if begins && stages.counts(&stage)?.negatives > 0 {
            let forecast = Forecast::new(self, answers.len())?;
            stages.console.note(&forecast);
            forecast.check(stages.judge.max_cost)?;
        }
        Ok(())
    }
}

fn refuse_without_signal(measures: &Measures) -> Result<()> {
    let Measures { answers, judged, passed, .. } = *measures;
    if judged == 0 {
        bail!("the judge is sure of none of {answers} answers: nothing can be measured");
    }
    if passed == judged {
        bail!(
            "all {judged} answers pass: there is nothing to learn\nhint: a stricter judge, other \
             instructions, or a higher --temperature"
        );
    }
    if passed == 0 {
        bail!(
            "none of {judged} answers passes: no answer shows what is wanted\nhint: an easier rule, other \
             instructions, or a few good answers to begin with (`cutq finetune`, --init-adapter)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::judged::tests::judged;
    use super::*;
    use crate::judge::Verdict;

    #[test]
    fn without_a_signal_nothing_begins() {
        let (good, bad) = (Some(Verdict::Perfect), Some(Verdict::Fault));
        let check = |verdicts: &[Option<Verdict>]| {
            let answers: Vec<_> = verdicts.iter().map(|v| judged("1", "a", *v)).collect();
            refuse_without_signal(&Measures::of(&answers)).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[good, bad]), Ok(()));
        for (verdicts, message) in [
            ([good, good, good], "all 3 answers pass"),
            ([bad, bad, bad], "none of 3 answers passes"),
            ([Some(Verdict::Unsure); 3], "sure of none"),
        ] {
            let error = check(&verdicts).expect_err(message);
            assert!(error.contains(message), "{error}");
        }
    }
}
