//! Flags about how answers are drawn.

use clap::Args;

use super::range::{count, non_negative, positive, share};
use crate::sampling::Sampling;
use crate::usage::UsageError;

/// How the next token is chosen, and how many at most.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Maximum tokens of an answer
    #[arg(short, long, value_name = "TOKENS", default_value = "256", value_parser = count)]
    pub n_predict: usize,
    /// Sampling temperature; 0 always takes the likeliest token [default: 0; align: 0.8]
    #[arg(long, alias = "temp", value_name = "T", value_parser = non_negative)]
    pub temperature: Option<f64>,
    /// Sample among the likeliest tokens that together have this probability [default: 1]
    #[arg(long, value_name = "P", value_parser = share)]
    pub top_p: Option<f64>,
    /// Sample among this many likeliest tokens [default: all]
    #[arg(long, value_name = "K", value_parser = count)]
    pub top_k: Option<usize>,
    /// Sample among tokens of at least this share of the likeliest one's probability [default: 0]
    #[arg(long, value_name = "P", value_parser = share)]
    pub min_p: Option<f64>,
    /// Divide the logits of tokens that have occurred in the answer by this [default: 1]
    #[arg(long, value_name = "X", value_parser = positive)]
    pub repeat_penalty: Option<f64>,
}

impl SamplingArgs {
    /// The values, at `temperature` unless asked otherwise.
    ///
    /// # Errors
    /// A flag that changes nothing at temperature 0.
    pub fn resolve(&self, temperature: f64) -> Result<Sampling, UsageError> {
        let temperature = self.temperature.unwrap_or(temperature);
        let given = [
            (self.top_p.is_some(), "--top-p"),
            (self.top_k.is_some(), "--top-k"),
            (self.min_p.is_some(), "--min-p"),
        ];
        match given.into_iter().find(|(is_given, _)| *is_given && temperature == 0.0) {
            Some((_, flag)) => Err(no_meaning(flag)),
            None => Ok(Sampling {
                temperature,
                top_p: self.top_p.unwrap_or(1.0),
                top_k: self.top_k.unwrap_or(0),
                min_p: self.min_p.unwrap_or(0.0),
                repeat_penalty: self.repeat_penalty.unwrap_or(1.0),
            }),
        }
    }
}

/// The error for a flag that changes nothing where nothing is drawn.
pub fn no_meaning(flag: &str) -> UsageError {
    UsageError::new(format!(
        "{flag} has no meaning with --temperature 0, which always takes the likeliest token"
    ))
}
