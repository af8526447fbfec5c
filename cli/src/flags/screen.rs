//! Flags about which examples are used, and what to do with doubtful ones.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::range::{inner_share, non_negative};
use crate::data::{OnDuplicate, OnFailedJudge, OnPraise, Screening};

/// What to do with doubtful examples; in this form it is saved, too.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Data")]
pub struct ScreenArgs {
    /// What to do with duplicates
    #[arg(long, value_enum, default_value = "drop")]
    pub on_duplicate: OnDuplicate,
    /// What to do with judgments such as "$ERROR$" that a failed judge call left
    #[arg(long, value_enum, default_value = "drop")]
    pub on_failed_judge: OnFailedJudge,
    /// What to do with judgments that only praise
    #[arg(long, value_enum, default_value = "positive")]
    pub on_praise: OnPraise,
}

/// How many examples are used; in this form it is saved, too.
#[derive(Clone, Copy, Debug, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Data")]
pub struct SelectArgs {
    /// Keep at most this many positives per negative [default: all; preset paper: 0.25]
    #[arg(long, value_name = "RATIO", value_parser = non_negative)]
    pub positive_ratio: Option<f64>,
    /// Hold out this share of the examples, and report their loss before and after training
    #[arg(long, value_name = "SHARE", value_parser = inner_share)]
    pub eval_split: Option<f64>,
}

impl ScreenArgs {
    /// The rules of screening; `seed` decides which positives stay.
    pub fn screening(&self, positive_ratio: Option<f64>, seed: u64) -> Screening {
        Screening {
            on_duplicate: self.on_duplicate,
            on_failed_judge: self.on_failed_judge,
            on_praise: self.on_praise,
            positive_ratio,
            seed,
        }
    }
}
