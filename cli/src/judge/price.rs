//! What tokens cost.

use std::str::FromStr;

use super::call::Call;
use super::reply::{Reply, Usage};

/// The price of a million tokens, in any currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of those that are read.
    pub input: f64,
    /// Of those that are written.
    pub output: f64,
}

/// A text that is no price.
#[derive(Debug, thiserror::Error)]
#[error("write IN,OUT: the price of a million tokens read, and of a million written")]
pub struct BadPrice;

impl FromStr for Price {
    type Err = BadPrice;

    fn from_str(text: &str) -> Result<Self, BadPrice> {
        let price = |text: &str| {
            let value = text.trim().parse::<f64>().ok();
            value.filter(|value| value.is_finite() && *value >= 0.0).ok_or(BadPrice)
        };
        let (input, output) = text.split_once(',').ok_or(BadPrice)?;
        Ok(Self { input: price(input)?, output: price(output)? })
    }
}

impl Price {
    /// What these tokens cost.
    pub fn of(self, usage: Usage) -> f64 {
        let (input, output) = (usage.prompt_tokens as f64, usage.completion_tokens as f64);
        (self.input * input + self.output * output) / 1e6
    }

    /// What replies have cost, also those of attempts that failed: by the tokens that their server
    /// counts, or else about that. The same in any order.
    pub fn of_all<'a>(self, replies: impl IntoIterator<Item = &'a Reply>) -> f64 {
        let used = replies.into_iter().filter_map(|reply| reply.usage.or(reply.estimate));
        self.of(used.fold(Usage::default(), |sum, usage| Usage {
            prompt_tokens: sum.prompt_tokens + usage.prompt_tokens,
            completion_tokens: sum.completion_tokens + usage.completion_tokens,
        }))
    }
}

impl Usage {
    /// About what a call reads: a token for every four characters, as in English.
    pub fn prompt_of(call: &Call) -> u64 {
        call.messages.iter().map(|message| tokens(&message.content)).sum()
    }

    /// About what a call and the text of its reply use.
    pub fn estimate(call: &Call, text: &str) -> Self {
        Self { prompt_tokens: Self::prompt_of(call), completion_tokens: tokens(text) }
    }
}

fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::judge::call::Key;
    use crate::judge::reply::Outcome;

    #[test]
    fn a_price_is_two_numbers() {
        let price: Price = "0.5, 2".parse().expect("a price");
        let usage = Usage { prompt_tokens: 2_000_000, completion_tokens: 500_000 };
        assert_eq!(price.of(usage), 2.0);
        for text in ["1", "1,", "1,x", "-1,2", "nan,1", "1,2,3", ""] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_server_does_not_count_is_estimated() {
        let price = Price { input: 1e6, output: 1e6 };
        let reply = |usage, estimate| {
            let reply = Reply::new(Key::new([]), Outcome::Timeout, String::new(), Duration::ZERO);
            Reply { usage, estimate, ..reply }
        };
        let used = |n| Some(Usage { prompt_tokens: n, completion_tokens: 1 });
        let replies = [reply(used(10), None), reply(None, used(4)), reply(None, None)];
        assert_eq!(price.of_all(&replies), 16.0);
    }
}
