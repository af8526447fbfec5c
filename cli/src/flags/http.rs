//! Flags about judges behind a server.

use std::time::Duration;

use clap::Args;

use super::range::{count, non_negative, positive};
use crate::judge::{Drawing, HttpOptions, Timeouts};

/// How a server is asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Judge behind http")]
pub struct HttpArgs {
    /// Calls that are open at once at most; fewer while the server has too much to do [default: 16]
    #[arg(long, value_name = "N", value_parser = count)]
    pub concurrency: Option<usize>,
    /// Seconds to wait for a connection [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub judge_connect_timeout: Option<f64>,
    /// Repetitions of a call whose failure may pass, after 1 s, 2 s, 4 s … [default: 5]
    #[arg(long, value_name = "N")]
    pub judge_retries: Option<usize>,
    /// Temperature at which the judge writes [default: 0]
    #[arg(long, value_name = "T", value_parser = non_negative)]
    pub judge_temperature: Option<f64>,
    /// Maximum tokens of a reply [default: 512]
    #[arg(long, value_name = "TOKENS", value_parser = count)]
    pub judge_max_tokens: Option<usize>,
}

/// The wait before the first repetition.
const FIRST_WAIT: Duration = Duration::from_secs(1);

impl HttpArgs {
    /// The values; replies are waited for as long as `reply` says.
    pub fn options(&self, reply: Duration, has_schema: bool) -> HttpOptions {
        let connect = Duration::from_secs_f64(self.judge_connect_timeout.unwrap_or(10.0));
        HttpOptions {
            timeouts: Timeouts { connect, reply },
            concurrency: self.concurrency.unwrap_or(16),
            retries: self.judge_retries.unwrap_or(5),
            first_wait: FIRST_WAIT,
            drawing: Drawing {
                temperature: self.judge_temperature.unwrap_or(Drawing::DEFAULT.temperature),
                max_tokens: self.judge_max_tokens.unwrap_or(Drawing::DEFAULT.max_tokens),
            },
            has_schema,
        }
    }

    /// A flag that was given.
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            (self.concurrency.is_some(), "--concurrency"),
            (self.judge_connect_timeout.is_some(), "--judge-connect-timeout"),
            (self.judge_retries.is_some(), "--judge-retries"),
            (self.judge_temperature.is_some(), "--judge-temperature"),
            (self.judge_max_tokens.is_some(), "--judge-max-tokens"),
        ];
        given.into_iter().find_map(|(is_given, flag)| is_given.then_some(flag))
    }
}
