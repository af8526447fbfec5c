//! What calls will take, before they are made.

use std::fmt;
use std::time::Duration;

use super::call::Call;
use super::log::CallLog;
use super::price::Price;
use super::reply::{Outcome, Usage};

/// Tokens of a reply where none has been received yet.
const REPLY_TOKENS: u64 = 100;

/// What a number of calls will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Calls to make.
    pub calls: usize,
    /// Tokens of a language model; none of a judge that reads no words.
    pub usage: Option<Usage>,
    /// Time, one call after the other; none if no reply has been received yet.
    pub time: Option<Duration>,
    /// What the tokens cost, if their price is known.
    pub cost: Option<f64>,
}

impl Forecast {
    /// Of `calls`, from what the replies in `log` took, or else from the length of the questions.
    pub fn of(calls: &[Call], log: &CallLog, is_model: bool, price: Option<Price>) -> Self {
        let n = calls.len() as u64;
        let answered = || log.replies().filter(|reply| reply.outcome == Outcome::Answered);
        let mean = |total: u64, count: usize| (total * n).checked_div(count as u64);
        let used: Vec<Usage> = answered().filter_map(|reply| reply.usage).collect();
        let sum = |part: fn(&Usage) -> u64| mean(used.iter().map(part).sum(), used.len());
        let usage = Usage {
            prompt_tokens: sum(|usage| usage.prompt_tokens)
                .unwrap_or_else(|| calls.iter().map(Usage::prompt_of).sum()),
            completion_tokens: sum(|usage| usage.completion_tokens).unwrap_or(REPLY_TOKENS * n),
        };
        let usage = is_model.then_some(usage);
        let ms = mean(answered().map(|reply| reply.ms).sum(), answered().count());
        let time = ms.map(Duration::from_millis);
        let cost = price.zip(usage).map(|(price, usage)| price.of(usage));
        Self { calls: calls.len(), usage, time, cost }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls", self.calls)?;
        if let Some(Usage { prompt_tokens, completion_tokens }) = self.usage {
            write!(f, ", about {prompt_tokens} tokens to read and {completion_tokens} to write")?;
        }
        if let Some(time) = self.time {
            let minutes = time.as_secs_f64() / 60.0;
            write!(f, ", at most {minutes:.1} min at the pace so far")?;
        }
        self.cost.map_or(Ok(()), |cost| write!(f, ", cost {cost:.2}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use cutq_core::example::Message;

    use crate::data::Answer;
    use crate::judge::call::Key;
    use crate::judge::reply::Reply;

    fn call(name: &str) -> Call {
        let answer = Answer {
            id: name.to_owned(),
            messages: Vec::new(),
            response: String::new(),
            fields: serde_json::Map::new(),
        };
        let messages = vec![Message::new("user", "x".repeat(400))];
        Call { key: Key::new([name]), answer: Arc::new(answer), messages }
    }

    #[test]
    fn replies_are_the_measure_once_there_are_any() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = CallLog::open(&folder.path().join("calls.jsonl")).expect("a new file");
        let (calls, price) = (["b", "c"].map(call), Price { input: 1000.0, output: 5000.0 });
        let forecast = Forecast::of(&calls, &log, true, Some(price));
        let expected = "2 calls, about 200 tokens to read and 200 to write, cost 1.20";
        assert_eq!(forecast.to_string(), expected);
        assert_eq!(Forecast::of(&calls, &log, false, None).to_string(), "2 calls");
        let mut reply = Reply::new(
            Key::new(["a"]),
            Outcome::Answered,
            "good".to_owned(),
            Duration::from_secs(45),
        );
        reply.usage = Some(Usage { prompt_tokens: 150, completion_tokens: 30 });
        log.append(reply).expect("writes");
        let failed =
            Reply::new(Key::new(["b"]), Outcome::Timeout, String::new(), Duration::from_secs(999));
        log.append(failed).expect("writes");
        let expected = "2 calls, about 300 tokens to read and 60 to write, at most 1.5 min at the \
                        pace so far";
        assert_eq!(Forecast::of(&calls, &log, true, None).to_string(), expected);
    }
}
