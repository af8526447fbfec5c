//! What follows an attempt: nothing, another one, or the end of the run.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::completion::{Completion, message};
use super::key::VARIABLES;
use crate::judge::reply::Outcome;

/// The longest wait that a server can ask for. A longer one is a quota that is used up.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What to do with a call whose attempt is over.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Nothing: it has its answer, or will not get one.
    Done,
    /// Ask again, after the time that the server asks to wait, if it does.
    Again(Option<Duration>),
    /// Ask again without a schema, which the server may not know.
    WithoutSchema,
    /// Ask nobody any more, for this reason.
    Stop(String),
}

/// The waits between the attempts of a call: they double from the first, each with up to as much
/// again, so that calls that failed together do not return together.
pub type Delays = <ExponentialBuilder as BackoffBuilder>::Backoff;

/// The waits of one call.
pub fn delays(first: Duration, retries: usize, seed: u32) -> Delays {
    let builder = ExponentialBuilder::new().with_min_delay(first).with_max_times(retries);
    builder.with_jitter().with_jitter_seed(seed.into()).build()
}

/// What follows a response. `has_schema`: its request had one.
pub fn after(completion: &Completion, retry_after: Option<Duration>, has_schema: bool) -> Next {
    if !matches!(completion.outcome, Outcome::Http | Outcome::Cut) {
        return Next::Done;
    }
    let said = || message(&completion.text);
    match completion.status {
        401 | 403 => Next::Stop(format!(
            "the server refuses the key (status {}): {}\nhint: the key is what {} or else {} holds",
            completion.status,
            said(),
            VARIABLES[0],
            VARIABLES[1]
        )),
        404 => Next::Stop(format!(
            "the server does not know the address or the model (status 404): {}\nhint: write \
             --judge http://HOST/v1#MODEL as the server's documentation does",
            said()
        )),
        429 if completion.text.contains("insufficient_quota") => {
            Next::Stop(format!("the quota is used up: {}", said()))
        }
        408 | 409 | 425 | 429 | 500..600 => match retry_after {
            Some(wait) if wait > LONGEST_WAIT => {
                Next::Stop(format!("the server asks to wait {} s: {}", wait.as_secs(), said()))
            }
            wait => Next::Again(wait),
        },
        400 | 422 if has_schema => Next::WithoutSchema,
        _ => Next::Done,
    }
}

/// Whether the server has too much to do.
pub fn is_overload(outcome: Outcome, status: Option<u16>) -> bool {
    outcome == Outcome::Timeout || matches!(status, Some(429 | 503))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(status: u16, body: &str, wait: Option<u64>, has_schema: bool) -> Next {
        after(&Completion::read(status, body), wait.map(Duration::from_secs), has_schema)
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        for status in [408, 409, 425, 429, 500, 502, 503, 504] {
            assert_eq!(next(status, "", None, true), Next::Again(None), "{status}");
        }
        for status in [301, 400, 402, 405, 413, 422] {
            assert_eq!(next(status, "", None, false), Next::Done, "{status}");
        }
        assert_eq!(next(200, r#"{"error": {"code": 429}}"#, None, false), Next::Again(None));
        let cut = r#"{"choices": [{"message": {"content": "p"}, "finish_reason": "length"}]}"#;
        assert_eq!(next(200, cut, None, true), Next::Done, "it would be cut again");
        assert_eq!(next(429, "", Some(7), false), Next::Again(Some(Duration::from_secs(7))));
    }

    #[test]
    fn a_schema_may_be_what_is_refused() {
        assert_eq!(next(400, "response_format", None, true), Next::WithoutSchema);
        assert_eq!(next(400, "context size", None, true), Next::Done, "not what is refused here");
    }

    #[test]
    fn some_replies_end_the_run() {
        let stop = |status, body: &str, wait| match next(status, body, wait, true) {
            Next::Stop(reason) => reason,
            other => panic!("{status}: {other:?}"),
        };
        assert!(stop(401, r#"{"error": "no key"}"#, None).contains("(status 401): no key\nhint: "));
        assert!(stop(403, "", None).contains("CUTQ_JUDGE_KEY"));
        assert!(stop(404, "", None).contains("model"));
        assert!(stop(429, "", Some(3600)).contains("asks to wait 3600 s"));
        assert!(stop(429, r#"{"error": {"code": "insufficient_quota"}}"#, None).contains("quota"));
    }

    #[test]
    fn waits_double_and_differ_between_calls() {
        let waits = |seed| delays(Duration::from_secs(1), 8, seed).collect::<Vec<_>>();
        let found = waits(1);
        assert_eq!((found.len(), &found), (8, &waits(1)));
        assert_ne!(found, waits(2));
        for (n, wait) in found.iter().enumerate() {
            let least = 2f64.powi(n as i32).min(60.0);
            assert!((least..2.0 * least).contains(&wait.as_secs_f64()), "{n}: {wait:?}");
        }
    }
}
