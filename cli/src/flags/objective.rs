//! Flags about the objective.

use clap::{Args, ValueEnum};
use cutq_core::objective::{
    AnyObjective, Contrast, Cut, CutOptions, Hindsight, Mle, OptionError, Spans, Unlikelihood,
};

use super::choice::{Choice, choice};
use super::range::{non_negative, partial_share, positive};
use crate::usage::UsageError;

/// What is minimized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectiveName {
    /// Contrastive unlikelihood training
    Cut,
    /// Maximum likelihood of every response, as supervised fine-tuning
    Mle,
    /// Likelihood of a criticised response given its judgment
    Hindsight,
    /// Unlikelihood on every token of a criticised response
    Unlikelihood,
}

/// Values that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The paper's objective (threshold 1.1, weight 0.5, gamma 1) and its share of positives
    Paper,
    /// The authors' code: threshold 1.2, weight 0.5, no gamma, judged examples at half weight
    AuthorsCode,
}

/// What the judged probability is compared with.
const CONTRASTS: &[Choice<Contrast>] = &[
    ("plain", "The probability without any judgment, as in the paper", Contrast::Plain),
    (
        "header-matched",
        "The probability with a praising judgment: only the judgment differs, one more pass",
        Contrast::HeaderMatched,
    ),
];

/// Which tokens are unlearned.
const SPANS: &[Choice<Spans>] = &[
    ("contrast", "Those that the judgment makes more likely, as in the paper", Spans::Contrast),
    ("quotes", "Those that the judgment quotes, and no others", Spans::Quotes),
    ("both", "Those that the judgment quotes; the contrast's where it quotes nothing", Spans::Both),
];

/// The objective and its parameters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Objective")]
pub struct ObjectiveArgs {
    /// What is minimized [default: cut]
    #[arg(long, value_enum)]
    pub objective: Option<ObjectiveName>,
    /// Values that belong together; flags given beside it win
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// A token is inappropriate if the judgment raises its probability by more than this factor
    /// (lambda) [default: 1.1]
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    pub threshold: Option<f64>,
    /// Weight of unlikelihood (alpha) [default: 0.5]
    #[arg(long, value_name = "WEIGHT", value_parser = non_negative)]
    pub weight_unlike: Option<f64>,
    /// Weigh unlikelihood by the judged probability to this power (gamma) [default: 1]
    #[arg(long, value_name = "POWER", value_parser = non_negative)]
    pub focal_gamma: Option<f64>,
    /// Weight of unlikelihood of quoted tokens, in place of alpha and gamma [default: 2]
    #[arg(long, value_name = "WEIGHT", value_parser = non_negative)]
    pub weight_quoted: Option<f64>,
    /// A token is inappropriate only if its judged probability is at least this [default: 0]
    #[arg(long, value_name = "P", value_parser = partial_share)]
    pub min_probability: Option<f64>,
    /// Nats by which the log-ratio must exceed the threshold's [default: 0]
    #[arg(long, value_name = "NATS", value_parser = non_negative)]
    pub log_ratio_margin: Option<f64>,
    /// Never count the token that ends a response as inappropriate
    #[arg(long)]
    pub exclude_eos: bool,
    /// What the judged probability is compared with [default: plain]
    #[arg(long, value_parser = choice(CONTRASTS))]
    pub contrast: Option<Contrast>,
    /// Which tokens are inappropriate [default: both; with a preset: contrast]
    #[arg(long, value_parser = choice(SPANS))]
    pub spans: Option<Spans>,
}

impl ObjectiveArgs {
    /// The objective that these flags and the preset give.
    ///
    /// # Errors
    /// A flag that the objective does not have.
    pub fn resolve(&self) -> Result<AnyObjective, UsageError> {
        let name = self.objective.unwrap_or(ObjectiveName::Cut);
        if name != ObjectiveName::Cut {
            self.refuse_cut_flags(name)?;
        }
        let cut = self.cut();
        if let (Spans::Contrast, Some(_)) = (cut.spans, self.weight_quoted) {
            let message = "--weight-quoted has no meaning with --spans contrast";
            return Err(UsageError::new(message.to_owned()));
        }
        let usage = |error: OptionError| UsageError::new(error.to_string());
        Ok(match name {
            ObjectiveName::Cut => AnyObjective::Cut(Cut::new(cut).map_err(usage)?),
            ObjectiveName::Mle => AnyObjective::Mle(Mle),
            ObjectiveName::Hindsight => AnyObjective::Hindsight(Hindsight),
            ObjectiveName::Unlikelihood => {
                let weight = self.weight_unlike.unwrap_or(CutOptions::PAPER.weight_unlike);
                AnyObjective::Unlikelihood(Unlikelihood::new(weight).map_err(usage)?)
            }
        })
    }

    /// The objective of a model that learns to judge.
    ///
    /// # Errors
    /// A flag of another objective.
    pub fn of_judge(&self) -> Result<AnyObjective, UsageError> {
        match self.objective {
            None | Some(ObjectiveName::Mle) => self.refuse_cut_flags(ObjectiveName::Mle)?,
            Some(_) => {
                let message = "--task judge learns by likelihood: --objective mle, or none";
                return Err(UsageError::new(message.to_owned()));
            }
        }
        Ok(AnyObjective::Mle(Mle))
    }

    fn cut(&self) -> CutOptions {
        let preset = match self.preset {
            None => CutOptions { spans: Spans::Both, ..CutOptions::PAPER },
            Some(Preset::Paper) => CutOptions::PAPER,
            Some(Preset::AuthorsCode) => CutOptions::AUTHORS_CODE,
        };
        CutOptions {
            threshold: self.threshold.unwrap_or(preset.threshold),
            weight_unlike: self.weight_unlike.unwrap_or(preset.weight_unlike),
            focal_gamma: self.focal_gamma.unwrap_or(preset.focal_gamma),
            weight_quoted: self.weight_quoted.unwrap_or(preset.weight_quoted),
            min_probability: self.min_probability.unwrap_or(preset.min_probability),
            log_ratio_margin: self.log_ratio_margin.unwrap_or(preset.log_ratio_margin),
            exclude_eos: self.exclude_eos || preset.exclude_eos,
            contrast: self.contrast.unwrap_or(preset.contrast),
            spans: self.spans.unwrap_or(preset.spans),
            halve_judged: preset.halve_judged,
        }
    }

    fn refuse_cut_flags(&self, name: ObjectiveName) -> Result<(), UsageError> {
        let authors_code = self.preset == Some(Preset::AuthorsCode);
        let weight = self.weight_unlike.is_some() && name != ObjectiveName::Unlikelihood;
        let given = [
            (authors_code, "--preset authors-code"),
            (self.threshold.is_some(), "--threshold"),
            (weight, "--weight-unlike"),
            (self.focal_gamma.is_some(), "--focal-gamma"),
            (self.weight_quoted.is_some(), "--weight-quoted"),
            (self.min_probability.is_some(), "--min-probability"),
            (self.log_ratio_margin.is_some(), "--log-ratio-margin"),
            (self.exclude_eos, "--exclude-eos"),
            (self.contrast.is_some(), "--contrast"),
            (self.spans.is_some(), "--spans"),
        ];
        match given.into_iter().find(|(is_given, _)| *is_given) {
            None => Ok(()),
            Some((_, flag)) => {
                let name = name.to_possible_value().expect("no name is hidden");
                let name = name.get_name();
                Err(UsageError::new(format!("{flag} has no meaning with --objective {name}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        objective: ObjectiveArgs,
    }

    fn resolve(flags: &str) -> Result<AnyObjective, String> {
        let line = std::iter::once("cutq").chain(flags.split_whitespace());
        let args = Line::try_parse_from(line).expect("parses");
        args.objective.resolve().map_err(|e| e.to_string())
    }

    #[test]
    fn flags_win_over_presets() {
        let options = CutOptions { threshold: 1.3, ..CutOptions::AUTHORS_CODE };
        assert_eq!(
            resolve("--preset authors-code --threshold 1.3"),
            Ok(AnyObjective::Cut(Cut::new(options).expect("valid")))
        );
        assert_eq!(resolve("--spans contrast"), resolve("--preset paper"));
        assert_eq!(resolve(""), resolve("--preset paper --spans both"));
    }

    #[test]
    fn flags_of_another_objective_are_refused() {
        for flags in [
            "--objective mle --threshold 1.1",
            "--objective hindsight --weight-unlike 1",
            "--objective unlikelihood --focal-gamma 1",
            "--objective mle --exclude-eos",
            "--objective mle --spans both",
            "--objective hindsight --weight-quoted 1",
            "--objective mle --preset authors-code",
        ] {
            let error = resolve(flags).expect_err(flags);
            assert!(error.contains("has no meaning with --objective"), "{error}");
        }
        for flags in ["--spans contrast --weight-quoted 1", "--preset paper --weight-quoted 1"] {
            let error = resolve(flags).expect_err(flags);
            assert!(error.contains("has no meaning with --spans contrast"), "{error}");
        }
        assert!(resolve("--objective unlikelihood --weight-unlike 1").is_ok());
        assert!(resolve("--objective mle --preset paper").is_ok());
    }
}
