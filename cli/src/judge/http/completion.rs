//! What a server's reply says: a judgment's text, or why there is none.

use serde::Deserialize;
use serde_json::Value;

use crate::judge::reply::{Outcome, Usage};

/// A reply, read.
#[derive(Debug, PartialEq)]
pub struct Completion {
    /// Whether it is one at all.
    pub outcome: Outcome,
    /// What the model wrote, or else what the server says instead.
    pub text: String,
    /// The model's reason to stop.
    pub finish_reason: Option<String>,
    /// Tokens, if the server counts them.
    pub usage: Option<Usage>,
    /// What decides whether it is asked again: the response's status, but the one that the body names
    /// where a success holds an error.
    pub status: u16,
}

#[derive(Deserialize)]
struct Body {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

/// The status of a success that is no reply and names no status.
const SERVER_ERROR: u16 = 500;

/// In what servers say of a question that is too long.
const TOO_LONG: [&str; 6] = [
    "context_length_exceeded",
    "exceed_context_size",
    "context length",
    "context size",
    "context window",
    "prompt is too long",
];

impl Completion {
    /// Reads the body of a response.
    pub fn read(status: u16, body: &str) -> Self {
        if !(200..300).contains(&status) {
            return Self::failed(status, body);
        }
        match serde_json::from_str::<Body>(body) {
            Ok(Body { mut choices, usage }) if !choices.is_empty() => {
                let read = Self::of_choice(choices.swap_remove(0), status);
                Self { usage: Usage::deserialize(usage).ok(), ..read }
            }
            // A body that ends before its end, as far as its header let the client see.
            Err(error) if error.is_eof() => {
                Self { outcome: Outcome::Cut, ..Self::failed(SERVER_ERROR, body) }
            }
            _ => Self::failed(named_status(body).unwrap_or(SERVER_ERROR), body),
        }
    }

    fn of_choice(choice: Choice, status: u16) -> Self {
        let Choice { message: Message { content, refusal }, finish_reason } = choice;
        let content = content.unwrap_or_default();
        let refusal = refusal.filter(|text| !text.trim().is_empty());
        let (outcome, status) = match finish_reason.as_deref() {
            Some("length") => (Outcome::Cut, status),
            Some("content_filter") => (Outcome::Refusal, status),
            Some("error") => (Outcome::Http, SERVER_ERROR),
            _ if refusal.is_some() => (Outcome::Refusal, status),
            _ if content.trim().is_empty() => (Outcome::Empty, status),
            _ => (Outcome::Answered, status),
        };
        let text = refusal.unwrap_or(content);
        Self { outcome, text, finish_reason, usage: None, status }
    }

    fn failed(status: u16, body: &str) -> Self {
        let lower = body.to_lowercase();
        let is_long = status == 413
            || matches!(status, 400 | 422 | 500)
                && TOO_LONG.iter().any(|text| lower.contains(text));
        let outcome = if is_long { Outcome::Context } else { Outcome::Http };
        Self { outcome, text: body.to_owned(), finish_reason: None, usage: None, status }
    }
}

/// `{"error": {"code": 429}}` → 429
fn named_status(body: &str) -> Option<u16> {
    let body: Value = serde_json::from_str(body).ok()?;
    let code = body.get("error")?.get("code")?;
    let code = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    u16::try_from(code).ok().filter(|code| (400..600).contains(code))
}

/// What a server says is wrong, in a line.
pub fn message(body: &str) -> String {
    const LONGEST: usize = 300;
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let error = parsed.as_ref().and_then(|body| body.get("error"));
    let said = error.and_then(|error| error.get("message").unwrap_or(error).as_str());
    let line = said.unwrap_or(body).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(message: Value, finish_reason: Value) -> String {
        let choice = json!({"index": 0, "message": message, "finish_reason": finish_reason});
        json!({"id": "x", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
            .to_string()
    }

    fn outcome(status: u16, body: &str) -> (Outcome, u16) {
        let read = Completion::read(status, body);
        (read.outcome, read.status)
    }

    #[test]
    fn a_reply_that_was_finished_is_an_answer() {
        let body = reply(json!({"role": "assistant", "content": "perfect"}), json!("stop"));
        let expected = Completion {
            outcome: Outcome::Answered,
            text: "perfect".to_owned(),
            finish_reason: Some("stop".to_owned()),
            usage: Some(Usage { prompt_tokens: 9, completion_tokens: 2 }),
            status: 200,
        };
        assert_eq!(Completion::read(200, &body), expected);
        let bare = r#"{"choices": [{"message": {"content": "perfect"}}], "usage": null}"#;
        assert_eq!(outcome(200, bare), (Outcome::Answered, 200));
    }

    #[test]
    fn nothing_else_is() {
        use Outcome::{Cut, Empty, Refusal};
        let stop = || json!("stop");
        for (message, finish_reason, expected) in [
            (json!({"content": "perfect, bu"}), json!("length"), Cut),
            (json!({"content": null}), json!("length"), Cut),
            (json!({"content": null}), stop(), Empty),
            (json!({"content": " \n"}), stop(), Empty),
            (json!({"role": "assistant"}), stop(), Empty),
            (json!({"content": null, "refusal": "I can't help."}), stop(), Refusal),
            (json!({"content": "per"}), json!("content_filter"), Refusal),
        ] {
            let body = reply(message, finish_reason);
            assert_eq!(outcome(200, &body), (expected, 200), "{body}");
        }
    }

    #[test]
    fn a_success_that_holds_an_error_has_the_status_that_it_names() {
        for (body, expected) in [
            (r#"{"error": {"message": "slow down", "code": 429}}"#, 429),
            (r#"{"error": {"message": "no", "code": "403"}}"#, 403),
            (r#"{"error": "overloaded"}"#, 500),
            (r#"{"choices": []}"#, 500),
            (r#"{"choices": [{"message": {"content": 3}}]}"#, 500),
            (r#"{"choices": [{"message": {"content": "p"}, "finish_reason": "error"}]}"#, 500),
            ("<html>Welcome</html>", 500),
        ] {
            assert_eq!(outcome(200, body), (Outcome::Http, expected), "{body}");
        }
        assert_eq!(outcome(200, r#"{"choices": [{"mess"#), (Outcome::Cut, 500));
    }

    #[test]
    fn a_question_that_is_too_long_is_known() {
        for (status, body) in [
            (400, r#"{"error": {"code": "context_length_exceeded", "message": "Too long."}}"#),
            (400, r#"{"error": {"type": "exceed_context_size_error", "code": 400}}"#),
            (400, "This model's maximum context length is 4096 tokens."),
            (413, ""),
        ] {
            assert_eq!(outcome(status, body), (Outcome::Context, status), "{body}");
        }
        assert_eq!(outcome(400, "unknown field"), (Outcome::Http, 400));
    }

    #[test]
    fn what_a_server_says_is_a_line() {
        assert_eq!(message(r#"{"error": {"message": "no\n such model"}}"#), "no such model");
        assert_eq!(message(r#"{"error": "no such model"}"#), "no such model");
        assert_eq!(message(&"é".repeat(900)).chars().count(), 301);
    }
}
