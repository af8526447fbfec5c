//! `cutq judge`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::range::{positive, share};
use super::{DeviceArgs, HttpArgs};
use crate::judge::{HttpOptions, Price, Spec};

/// What to judge, who judges, and where it goes.
#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// Answers: a file of `cutq generate --data`, or any data with instructions and responses
    #[arg(value_name = "ANSWERS.jsonl")]
    pub answers: PathBuf,
    /// The judgments to write: each answer with what is wrong with it, ready for `cutq finetune`. Every
    /// reply is kept beside it, in OUT.calls.jsonl
    #[arg(long, value_name = "JUDGMENTS.jsonl")]
    pub out: PathBuf,
    /// Print the counts as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print errors only
    #[arg(long)]
    pub quiet: bool,
    /// Make no call: read the replies again that were received before
    #[arg(long)]
    pub reparse: bool,
    /// Compare with the judgments of a person: prints agreement and Cohen's kappa
    #[arg(long, value_name = "HUMAN.jsonl")]
    pub check: Option<PathBuf>,
    /// Who judges.
    #[command(flatten)]
    pub judge: JudgingArgs,
    /// Where a judge in this process computes.
    #[command(flatten, next_help_heading = "Engine")]
    pub device: DeviceArgs,
}

/// Who judges, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Judge")]
pub struct JudgingArgs {
    /// Who judges: `human` (you, at a page in the browser of this machine), `human:terminal` (you, here),
    /// `http://HOST/v1#MODEL` (a server with OpenAI's chat API, such as llama-server; its key is read
    /// from CUTQ_JUDGE_KEY or else OPENAI_API_KEY), `cmd:COMMAND` (reads lines of
    /// {"instruction","input","response"}, writes one line of {"judgment": text or null} for each),
    /// `replay:FILE` (judgments of the same answers), or a model in this process, `JUDGE.gguf` or
    /// `JUDGE.gguf+ADAPTER.gguf`
    #[arg(long, value_name = "SPEC")]
    pub judge: Spec,
    /// Rules for judges that are language models, added to the paper's question
    #[arg(long, value_name = "FILE", conflicts_with = "judge_template")]
    pub criteria: Option<PathBuf>,
    /// The whole question as a Jinja template of `instruction`, `response` and `fence`
    #[arg(long, value_name = "FILE")]
    pub judge_template: Option<PathBuf>,
    /// Seconds to wait for a reply [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub judge_timeout: Option<f64>,
    /// Judge this share of the answers twice, and print how far the judge agrees with itself
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub again: f64,
    /// Stop if more than this share of the calls fails
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = share)]
    pub max_failed: f64,
    /// The price of a million tokens read and of a million written
    #[arg(long, value_name = "IN,OUT")]
    pub price: Option<Price>,
    /// Stop where all replies together cost more, also those of earlier runs of the command, and do not
    /// begin where the forecast does
    #[arg(long, value_name = "COST", requires = "price", value_parser = positive)]
    pub max_cost: Option<f64>,
    /// Chooses the answers of --again
    #[arg(long, value_name = "SEED", default_value = "42")]
    pub judge_seed: u64,
    /// How a server is asked.
    #[command(flatten)]
    pub http: HttpArgs,
}

impl JudgingArgs {
    /// How a judge behind a server is asked.
    pub fn http(&self) -> HttpOptions {
        self.http.options(self.timeout(), self.judge_template.is_none())
    }

    /// How long to wait.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.judge_timeout.unwrap_or(120.0))
    }
}
