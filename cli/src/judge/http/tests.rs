//! The judge beside a server that fails in every way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cutq_core::example::Message;
use serde_json::json;

use super::faulty::{Act, Faulty, answer, finished, response};
use super::*;
use crate::data::Answer;
use crate::judge::call::Key;
use crate::judge::reply::Outcome;

fn call(text: &str) -> Call {
    Call {
        key: Key::new([text]),
        answer: Arc::new(Answer {
            id: text.to_owned(),
            messages: vec![Message::new("user", "Count.")],
            response: text.to_owned(),
            fields: serde_json::Map::new(),
        }),
        messages: vec![Message::new("user", text)],
    }
}

const OPTIONS: Options = Options {
    timeouts: Timeouts { connect: Duration::from_secs(5), reply: Duration::from_millis(400) },
    concurrency: 4,
    retries: 2,
    first_wait: Duration::from_millis(5),
    drawing: Drawing::DEFAULT,
    has_schema: true,
};

fn judge(server: &Faulty, options: Options) -> HttpJudge {
    HttpJudge::with_key(&server.spec().parse().expect("an endpoint"), None, options)
}

/// The attempts of each call, in their order.
fn ask(judge: &mut HttpJudge, texts: &[&str]) -> (BTreeMap<String, Vec<Reply>>, Result<()>) {
    let calls: Vec<Call> = texts.iter().map(|text| call(text)).collect();
    let mut found: BTreeMap<String, Vec<Reply>> = BTreeMap::new();
    let mut received = |reply: Reply| {
        let call = calls.iter().find(|call| call.key == reply.key).expect("one of the calls");
        let replies = found.entry(call.answer.id.clone()).or_default();
        assert_eq!(reply.attempt as usize, replies.len() + 1);
        replies.push(reply);
        ControlFlow::Continue(())
    };
    let done = judge.ask(&calls, &mut received, &|| false);
    (found, done)
}

fn outcomes(replies: &[Reply]) -> Vec<Outcome> {
    replies.iter().map(|reply| reply.outcome).collect()
}

/// What the server does with an answer, by the answer's text.
fn misbehave(text: &str, times: usize) -> Act {
    let send = |status, headers, body: &str| Act::Send(response(status, headers, body));
    let message = |message, finish_reason| Act::Send(finished(&message, finish_reason));
    let whole = answer("perfect");
    match (text, times) {
        ("hangs", _) | ("hangs once", 1) => Act::Hang,
        ("busy", 1) => send(429, "Retry-After: 0\r\n", "slow down"),
        ("loading", 1 | 2) => send(503, "", r#"{"error": {"message": "Loading model"}}"#),
        ("broken", _) => send(500, "", "<html>oops</html>"),
        ("error in 200", _) => send(200, "", r#"{"error": {"message": "no GPU", "code": 400}}"#),
        ("html", _) => send(200, "Content-Type: text/html\r\n", "<html>Welcome</html>"),
        ("wrong type", _) => {
            let body = r#"{"choices": [{"message": {"content": "perfect"}}]}"#;
            send(200, "Content-Type: text/plain\r\n", body)
        }
        ("cut once", 1) => Act::Send(whole[..whole.len() - 9].to_vec()),
        ("no reply once", 1) => Act::Send(Vec::new()),
        ("null", _) => message(json!({"content": null}), "stop"),
        ("length", _) => message(json!({"content": "{\"judgment\": \"It is"}), "length"),
        ("filter", _) => message(json!({"content": ""}), "content_filter"),
        ("refuses", _) => message(json!({"content": null, "refusal": "I can't."}), "stop"),
        ("long", _) => Act::Send(answer(&"long ".repeat(1_000_000))),
        ("too long", _) => send(400, "", r#"{"error": {"type": "exceed_context_size_error"}}"#),
        ("slow", _) => Act::Later(Duration::from_millis(100), whole),
        _ => Act::Send(whole),
    }
}

#[test]
fn every_failure_has_its_reason_and_what_may_pass_is_asked_again() {
    use Outcome::{Answered, Context, Cut, Empty, Http, Refusal, Timeout};
    let expected: [(&str, &[Outcome]); 17] = [
        ("fine", &[Answered]),
        ("slow", &[Answered]),
        ("wrong type", &[Answered]),
        ("busy", &[Http, Answered]),
        ("loading", &[Http, Http, Answered]),
        ("cut once", &[Cut, Answered]),
        ("no reply once", &[Http, Answered]),
        ("hangs once", &[Timeout, Answered]),
        ("hangs", &[Timeout; 3]),
        ("broken", &[Http; 3]),
        ("html", &[Http; 3]),
        ("error in 200", &[Http, Http]),
        ("long", &[Http]),
        ("null", &[Empty]),
        ("length", &[Cut]),
        ("filter", &[Refusal]),
        ("refuses", &[Refusal]),
    ];
    let server = Faulty::start(|request| misbehave(request.text(), request.times));
    let texts: Vec<&str> = expected.iter().map(|(text, _)| *text).chain(["too long"]).collect();
    let (found, done) = ask(&mut judge(&server, OPTIONS), &texts);
    done.expect("no failure ends the run");
    for (text, expected) in expected {
        assert_eq!(outcomes(&found[text]), expected, "{text}: {:?}", found[text]);
    }
    assert_eq!(outcomes(&found["too long"]), [Context]);
    let attempts: usize = found.values().map(Vec::len).sum();
    assert_eq!(server.requests().len(), attempts, "a reply for each request");
    let fine = &found["fine"][0];
    assert_eq!((fine.text.as_deref(), fine.status), (Some("perfect"), Some(200)));
    assert_eq!(fine.usage.map(|usage| usage.completion_tokens), Some(4));
    assert_eq!(found["length"][0].finish_reason.as_deref(), Some("length"));
    assert!(found["long"][0].text.as_ref().is_some_and(|text| text.len() < 200));
}

#[test]
fn a_schema_is_a_hint() {
    // A server that refuses schemas is asked without one, and from then on only so.
    let server = Faulty::start(|request| match request.body.get("response_format") {
        Some(_) => Act::Send(response(400, "", "response_format is unknown")),
        None => Act::Send(answer("```json\n{\"judgment\": \"perfect\", \"faults\": []}\n```")),
    });
    let mut judge = judge(&server, Options { concurrency: 1, ..OPTIONS });
    let (found, done) = ask(&mut judge, &["a", "b", "c"]);
    done.expect("asks on");
    assert_eq!(outcomes(&found["a"]), [Outcome::Http, Outcome::Answered]);
    assert_eq!(outcomes(&found["c"]), [Outcome::Answered]);
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    let body = &requests[1].body;
    assert_eq!((&body["model"], &body["temperature"]), (&json!("tiny"), &json!(0.0)));
    assert!(body["seed"].is_u64() && body["max_tokens"] == 512, "{body}");
}

#[test]
fn a_wrong_key_ends_the_run_at_once_and_is_not_repeated() {
    let server = Faulty::start(|request| {
        let sent = request.head.lines().find(|line| line.starts_with("authorization"));
        let said = json!({"error": {"message": sent.expect("a key")}}).to_string();
        Act::Send(response(401, "", &said))
    });
    let endpoint: Endpoint = server.spec().parse().expect("an endpoint");
    let key = ApiKey::of("sk-secret").expect("a key");
    let mut judge = HttpJudge::with_key(&endpoint, Some(key), OPTIONS);
    let texts: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let (found, done) = ask(&mut judge, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let error = format!("{:#}", done.expect_err("nobody can be asked"));
    assert!(error.contains("bearer [key]") && error.contains("hint: "), "{error}");
    assert!(!format!("{found:?}").contains("secret"));
    assert!((1..=2).contains(&server.requests().len()), "two are open at the start");
}

#[test]
fn a_server_that_is_gone_is_given_up() {
    let server = Faulty::start(|_| Act::Send(Vec::new()));
    let texts: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (found, done) = ask(&mut judge(&server, OPTIONS), &texts);
    let error = format!("{:#}", done.expect_err("given up"));
    assert!(error.contains("5 calls in a row") && error.contains("goes on"), "{error}");
    assert!(found.len() <= 6, "{}: two at a time", found.len());
}

#[test]
fn all_wait_where_one_is_asked_to() {
    let server = Faulty::start(|request| match (request.text(), request.times) {
        ("0", 1) => Act::Send(response(429, "Retry-After: 1\r\n", "")),
        _ => Act::Send(answer("perfect")),
    });
    let begun = Instant::now();
    let (found, done) =
        ask(&mut judge(&server, Options { concurrency: 1, ..OPTIONS }), &["0", "1", "2"]);
    done.expect("asks on");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(outcomes(&found["0"]), [Outcome::Http, Outcome::Answered]);
    let asked: Vec<_> = server.requests().iter().map(|request| request.text().to_owned()).collect();
    assert_eq!(asked, ["0", "0", "1", "2"], "nobody is asked in the meantime");
}

#[test]
fn calls_are_open_side_by_side_up_to_the_limit() {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = Faulty::start(|_| {
        MOST.fetch_max(OPEN.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(40));
        OPEN.fetch_sub(1, Ordering::SeqCst);
        Act::Send(answer("perfect"))
    });
    let texts: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let reply = Duration::from_secs(20);
    let timeouts = Timeouts { reply, ..OPTIONS.timeouts };
    let (found, done) = ask(&mut judge(&server, Options { timeouts, ..OPTIONS }), &texts);
    done.expect("asks all");
    assert_eq!((found.len(), server.requests().len()), (40, 40));
    let most = MOST.load(Ordering::SeqCst);
    assert!((2..=OPTIONS.concurrency).contains(&most), "{most}");
}

#[test]
fn an_early_end_keeps_what_was_received() {
    let server = Faulty::start(|request| match request.text() {
        "hangs" => Act::Hang,
        "slow" => Act::Later(Duration::from_millis(100), answer("perfect")),
        _ => Act::Send(answer("perfect")),
    });
    let calls = ["fine", "slow", "hangs", "never"].map(call);
    let reply = Duration::from_secs(60);
    let timeouts = Timeouts { reply, ..OPTIONS.timeouts };
    let mut judge = judge(&server, Options { timeouts, ..OPTIONS });
    let mut found = Vec::new();
    let begun = Instant::now();
    let mut received = |reply: Reply| {
        found.push(reply.key);
        ControlFlow::Break(())
    };
    judge.ask(&calls[..], &mut received, &|| false).expect("ends");
    assert!(begun.elapsed() < Duration::from_secs(10), "the call that hangs is not waited for");
    assert_eq!(found, [calls[0].key.clone(), calls[1].key.clone()]);
}

#[test]
fn open_calls_are_not_waited_for_once_the_user_stops() {
    let server = Faulty::start(|request| match request.text() {
        "fine" => Act::Send(answer("perfect")),
        "busy" => Act::Send(response(429, "Retry-After: 60\r\n", "")),
        _ => Act::Hang,
    });
    let timeouts = Timeouts { reply: Duration::from_secs(60), ..OPTIONS.timeouts };
    for texts in [["fine", "hangs"], ["fine", "busy"]] {
        let calls = texts.map(call);
        let mut judge = judge(&server, Options { timeouts, ..OPTIONS });
        let (begun, mut found) = (Instant::now(), Vec::new());
        let mut received = |reply: Reply| {
            found.push(reply.outcome);
            ControlFlow::Continue(())
        };
        let stop = || begun.elapsed() > Duration::from_millis(500);
        judge.ask(&calls, &mut received, &stop).expect("ends");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert!(found.contains(&Outcome::Answered), "{found:?}");
    }
}

#[test]
fn another_drawing_is_another_judge() {
    let endpoint: Endpoint = "http://localhost/v1#m".parse().expect("an endpoint");
    assert_eq!(name(&endpoint, Drawing::DEFAULT), "http://localhost/v1#m");
    let other = Drawing { temperature: 0.7, max_tokens: 64 };
    assert_eq!(name(&endpoint, other), "http://localhost/v1#m temperature 0.7 max_tokens 64");
}
