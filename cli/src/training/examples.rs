//! The run's examples: read, screened, tokenized, split, and reported.

use anyhow::Result;
use cutq_core::group::Group;
use cutq_core::objective::{AnyObjective, Objective};

use crate::console::Console;
use crate::data::{Loaded, Origin, Tokenize, View, hold_out};
use crate::run::Settings;
use crate::session::model::ModelFile;
use crate::text;

/// What a run trains on and what it is measured on.
pub struct Examples {
    /// The objective they were tokenized for.
    pub objective: AnyObjective,
    /// Training examples.
    pub train: Vec<Group>,
    /// Held-out examples; empty without `--eval-split`.
    pub held_out: Vec<Group>,
    /// By a group's index.
    origins: Vec<Origin>,
}

impl Examples {
    /// Reads everything the settings name, and reports counts.
    ///
    /// # Errors
    /// Data, template or tokenizer that cannot be used.
    pub fn read(settings: &Settings, model: &ModelFile, console: Console) -> Result<Self> {
        let objective = settings.objective;
        let prompt = &settings.prompt;
        let tokenizer = prompt.tokenizer.as_ref().map(|file| file.path.as_path());
        let (name, now) = (Some(&prompt.template), prompt.now.parse()?);
        let (template, encoder) = text::open(&model.gguf, name, tokenizer, now)?;
        template.warn_of_lost_turns(console);

        let (data, seed) = (&settings.data, settings.recipe.seed);
        let files: Vec<_> = data.files.iter().map(|file| file.path.clone()).collect();
        let screening = data.screen.screening(data.select.positive_ratio, seed);
        let mut loaded = Loaded::load(&files, data.read.reading(), &screening, console)?;
        data.task.examples(&mut loaded.records);
        let tokenize = Tokenize {
            encode: &encoder,
            template: &template,
            objective: &objective,
            max_length: prompt.max_length,
            context_length: model.architecture.context_length,
            on_long: prompt.on_long,
            skip_refused: data.read.skip_bad_lines,
        };
        let groups = loaded.tokenize(&tokenize, console)?;
        console.note(View { report: &loaded.report, samples: false });
        let origins = loaded.records.into_iter().map(|record| record.origin).collect();
        let (train, held_out) = match data.select.eval_split {
            None => (groups, Vec::new()),
            Some(share) => hold_out(groups, share, seed),
        };
        if train.is_empty() {
            anyhow::bail!(
                "--eval-split holds out all {} examples, none is left to train on",
                held_out.len()
            );
        }
        Ok(Self { objective, train, held_out, origins })
    }

    /// Tokens of the largest example in all its contexts, and of the longest sequence.
    pub fn sizes(&self) -> (usize, usize) {
        let groups = || self.train.iter().chain(&self.held_out);
        let contexts = |group: &Group| self.objective.contexts(group.is_judged());
        let largest = groups().map(|group| group.n_tokens(contexts(group))).max();
        let longest = groups().flat_map(|group| {
            let prompts = contexts(group).kinds().filter_map(|kind| group.prompt_of(kind));
            prompts.map(|prompt| prompt.len() + group.response.len())
        });
        (largest.unwrap_or(0), longest.max().unwrap_or(0))
    }

    /// Where the example with this index was read.
    pub fn origin(&self, index: usize) -> Option<&Origin> {
        self.origins.get(index)
    }
}
