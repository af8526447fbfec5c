//! Everything that decides a run of rounds: `run.json`.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::console::Console;
use crate::data::{OnDuplicate, OnFailedJudge, OnPraise, Task};
use crate::flags::{AlignArgs, JudgingArgs, ReadArgs, RoundArgs, ScreenArgs, SelectArgs};
use crate::run::{self, DataSettings, Difference, InputFile};
use crate::sampling::Sampling;
use crate::session::model::ModelFile;
use crate::training::{self, Output};

/// Of answers to train on, unless asked otherwise.
const TEMPERATURE: f64 = 0.8;

/// The settings of a run, resolved, with the hashes of what it reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The program's version.
    pub cutq: String,
    /// Prompts to train on.
    pub instructions: InputFile,
    /// Prompts that choose the best round.
    pub eval_instructions: InputFile,
    /// Prompts that choose nothing.
    pub test_instructions: Option<InputFile>,
    /// Who judges.
    pub judge: JudgeSettings,
    /// How many rounds, and of what.
    pub rounds: RoundArgs,
    /// How answers to train on are drawn; those that measure are always the likeliest.
    pub sampling: Sampling,
    /// Tokens of an answer at most.
    pub n_predict: usize,
    /// How each round trains; its data and where it starts from are the round's own.
    pub training: run::Settings,
}

/// Who judges, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeSettings {
    /// The judge's name.
    pub name: String,
    /// Rules that a language model is told.
    pub criteria: Option<InputFile>,
    /// The question that it is asked.
    pub template: Option<InputFile>,
    /// The share of answers that are judged twice.
    pub again: f64,
    /// Chooses them.
    pub seed: u64,
}

impl JudgeSettings {
    fn resolve(args: &JudgingArgs, name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            criteria: args.criteria.as_deref().map(InputFile::whole).transpose()?,
            template: args.judge_template.as_deref().map(InputFile::whole).transpose()?,
            again: args.again,
            seed: args.judge_seed,
        })
    }
}

impl Settings {
    /// The settings that the flags give and the name of the judge, and the model they are for; `begun` is what a run in the same
    /// folder was begun with.
    ///
    /// # Errors
    /// Flags that contradict each other, `begun` or the files they name; files that cannot be read.
    pub fn resolve(
        args: &AlignArgs,
        judge: &str,
        begun: Option<&Self>,
        console: Console,
    ) -> Result<(Self, ModelFile)> {
        let data = DataSettings {
            files: Vec::new(),
            read: ReadArgs::default(),
            screen: ScreenArgs {
                on_duplicate: OnDuplicate::Drop,
                on_failed_judge: OnFailedJudge::Error,
                on_praise: OnPraise::Positive,
            },
            select: SelectArgs { positive_ratio: None, eval_split: None },
            task: Task::Answer,
        };
        let out = std::path::absolute(args.run_dir.join("best.gguf"))?;
        let output = Output { out, save_peft: None };
        let (mut training, model) =
            training::settings(&args.training, &args.model, data, output, console)?;
        if let Some(begun) = begun {
            // What was begun yesterday goes on under yesterday's date.
            training.prompt.now.clone_from(&begun.training.prompt.now);
        }
        let settings = Self {
            cutq: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: InputFile::whole(&args.instructions)?,
            eval_instructions: InputFile::whole(&args.eval_instructions)?,
            test_instructions: args
                .test_instructions
                .as_deref()
                .map(InputFile::whole)
                .transpose()?,
            judge: JudgeSettings::resolve(&args.judge, judge)?,
            rounds: args.rounds,
            sampling: args.sampling.resolve(TEMPERATURE)?,
            n_predict: args.sampling.n_predict,
            training,
        };
        if let Some(begun) = begun {
            settings.refuse_other_than(begun, args)?;
        }
        Ok((settings, model))
    }

    fn refuse_other_than(&self, begun: &Self, args: &AlignArgs) -> Result<()> {
        let (begun, now) = (serde_json::to_value(begun)?, serde_json::to_value(self)?);
        match Difference::of(&begun, &now) {
            None => Ok(()),
            Some(difference) => bail!(
                "the run in {} was begun with other settings: {difference}\nhint: repeat the command as \
                 it was, or choose another --run-dir",
                args.run_dir.display()
            ),
        }
    }
}
