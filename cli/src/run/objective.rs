//! The objective in a form that is saved.

use clap::ValueEnum;
use cutq_core::objective::{
    AnyObjective, Contrast, Cut, CutOptions, Hindsight, Mle, OptionError, Unlikelihood,
};
use serde::{Deserialize, Serialize};

/// What the judged probability is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContrastName {
    /// The probability without any judgment, as in the paper
    Plain,
    /// The probability with a praising judgment: only the judgment differs, one more pass
    HeaderMatched,
}

/// See [`CutOptions`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct CutSettings {
    pub threshold: f64,
    pub weight_unlike: f64,
    pub focal_gamma: f64,
    pub min_probability: f64,
    pub log_ratio_margin: f64,
    pub exclude_eos: bool,
    pub contrast: ContrastName,
    pub halve_judged: bool,
}

impl From<CutOptions> for CutSettings {
    fn from(options: CutOptions) -> Self {
        Self {
            threshold: options.threshold,
            weight_unlike: options.weight_unlike,
            focal_gamma: options.focal_gamma,
            min_probability: options.min_probability,
            log_ratio_margin: options.log_ratio_margin,
            exclude_eos: options.exclude_eos,
            contrast: match options.contrast {
                Contrast::Plain => ContrastName::Plain,
                Contrast::HeaderMatched => ContrastName::HeaderMatched,
            },
            halve_judged: options.halve_judged,
        }
    }
}

impl CutSettings {
    /// The paper's values.
    pub fn paper() -> Self {
        CutOptions::PAPER.into()
    }

    /// The authors' code's values.
    pub fn authors_code() -> Self {
        CutOptions::AUTHORS_CODE.into()
    }

    fn options(&self) -> CutOptions {
        CutOptions {
            threshold: self.threshold,
            weight_unlike: self.weight_unlike,
            focal_gamma: self.focal_gamma,
            min_probability: self.min_probability,
            log_ratio_margin: self.log_ratio_margin,
            exclude_eos: self.exclude_eos,
            contrast: match self.contrast {
                ContrastName::Plain => Contrast::Plain,
                ContrastName::HeaderMatched => Contrast::HeaderMatched,
            },
            halve_judged: self.halve_judged,
        }
    }
}

/// What is minimized, with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "objective", rename_all = "kebab-case")]
pub enum ObjectiveSettings {
    /// Contrastive unlikelihood training.
    Cut(CutSettings),
    /// Maximum likelihood.
    Mle,
    /// Likelihood given the judgment.
    Hindsight,
    /// Unlikelihood on all tokens of judged responses.
    Unlikelihood {
        /// Its weight.
        weight_unlike: f64,
    },
}

impl ObjectiveSettings {
    /// The objective itself.
    ///
    /// # Errors
    /// A parameter out of its range.
    pub fn build(&self) -> Result<AnyObjective, OptionError> {
        Ok(match self {
            Self::Cut(cut) => AnyObjective::Cut(Cut::new(cut.options())?),
            Self::Mle => AnyObjective::Mle(Mle),
            Self::Hindsight => AnyObjective::Hindsight(Hindsight),
            Self::Unlikelihood { weight_unlike } => {
                AnyObjective::Unlikelihood(Unlikelihood::new(*weight_unlike)?)
            }
        })
    }
}
