//! `cutq judge` with judges behind a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command as Process, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::faulty::{Act, Faulty, Request, answer, finished, response};
use crate::place::{Place, fail, succeed};

/// A place with `n` answers.
fn place(n: usize) -> Place {
    let place = Place::new();
    let line = |i| json!({"id": i, "instruction": "Count.", "output": format!("Number {i}.")});
    let lines: Vec<String> = (0..n).map(|i| line(i.to_string()).to_string()).collect();
    place.write("answers.jsonl", lines.join("\n"));
    place
}

/// The number of the answer that is to be judged.
fn number(request: &Request) -> usize {
    let line = request.text().lines().find_map(|line| line.strip_prefix("Number "));
    line.and_then(|line| line.trim_end_matches('.').parse().ok()).expect("an answer of the test's")
}

const FLAGS: &str = "judge answers.jsonl --out judgments.jsonl";

fn judge(place: &Place, server: &Faulty, flags: &str) -> Command {
    let mut command = place.cutq(FLAGS.split_whitespace().chain(flags.split_whitespace()));
    command.args(["--judge", &server.spec()]);
    command.env_remove("CUTQ_JUDGE_KEY").env_remove("OPENAI_API_KEY");
    command
}

#[test]
fn a_reply_becomes_a_judgment_and_a_failure_a_count() {
    let server = Faulty::start(|request| match (number(request), request.times) {
        (0, _) => Act::Send(answer(
            "```json\n{\"judgment\": \"A number.\", \"faults\": [{\"quote\": \"Number\", \"what\": \"no\"}]}\n```",
        )),
        (1, 1) => Act::Send(response(429, "Retry-After: 0\r\n", "")),
        (2, _) => Act::Send(finished(&json!({"content": "{\"judg"}), "length")),
        (3, _) => Act::Send(finished(&json!({"content": null}), "stop")),
        (4, _) => Act::Send(answer("{\"judgment\": 3}")),
        (5, _) => Act::Send(finished(&json!({"refusal": "No."}), "stop")),
        (6, _) => Act::Send(response(400, "", "maximum context length")),
        (7, _) => Act::Hang,
        (8, _) => Act::Send(response(500, "Retry-After: 0\r\n", "oops")),
        _ => Act::Send(answer("perfect")),
    });
    let place = place(12);
    let flags = "--judge-timeout 0.5 --judge-retries 1 --max-failed 0.9 --json";
    let output = succeed(&mut judge(&place, &server, flags));
    let counts: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(counts["verdicts"], json!({"perfect": 4, "fault": 1}));
    let reasons = ["http", "timeout", "cut", "empty", "refusal", "unparsable", "context"];
    let failed: BTreeMap<&str, u32> = reasons.map(|reason| (reason, 1)).into();
    assert_eq!(counts["failed"], json!(failed));
    let lines = place.json_lines("judgments.jsonl");
    assert_eq!(lines.len(), 5, "no failure is a judgment");
    assert_eq!(lines[0]["quotes"], json!([{"text": "Number", "start": 0, "end": 6}]));
    assert_eq!(lines[1]["judge"], server.spec());
    let replies = place.json_lines("judgments.calls.jsonl");
    assert_eq!(replies.len(), server.requests().len(), "every reply is kept");
    assert_eq!(replies.len(), 12 + 3, "three were repeated");
}

#[test]
fn what_ends_a_run_is_named() {
    let place = place(9);
    let server = Faulty::start(|_| Act::Send(response(404, "", r#"{"error": "no model tiny"}"#)));
    let message = fail(&mut judge(&place, &server, ""), 1);
    assert!(message.contains("no model tiny") && message.contains("hint: write"), "{message}");
    assert!(!place.path("judgments.jsonl").exists());
    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let mut command = place.cutq(FLAGS.split_whitespace());
    command.args(["--judge", &format!("http://{address}/v1#m"), "--judge-retries", "0"]);
    let message = fail(&mut command, 1);
    assert!(message.contains("5 calls in a row"), "{message}");
    for (flags, expected) in [
        ("--judge cmd:true --concurrency 2", "--concurrency has no meaning"),
        ("--judge http://me:secret@host/v1#m", "names no judge"),
    ] {
        let args = FLAGS.split_whitespace().chain(flags.split_whitespace());
        let message = fail(&mut place.cutq(args), 2);
        assert!(message.contains(expected), "{flags}: {message}");
    }
}

#[test]
fn a_key_is_sent_and_never_written() {
    let server = Faulty::start(|request| {
        // It says what it was sent, in an error and in a judgment.
        let sent = request.head.lines().find(|line| line.starts_with("authorization: "));
        let sent = sent.expect("a key");
        match (number(request), request.times) {
            (0, 1) => Act::Send(response(500, "Retry-After: 0\r\n", sent)),
            _ => Act::Send(answer(sent)),
        }
    });
    let place = place(2);
    let mut command = judge(&place, &server, "");
    let output = succeed(command.env("OPENAI_API_KEY", "other").env("CUTQ_JUDGE_KEY", "sk-secret"));
    let written = [place.read("judgments.jsonl"), place.read("judgments.calls.jsonl")].concat();
    let written = String::from_utf8(written).expect("text");
    assert!(written.contains("bearer [key]") && !written.contains("other"), "{written}");
    for text in [written, String::from_utf8(output.stderr).expect("text")] {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn what_earlier_runs_have_cost_counts() {
    // 40 tokens are read for each answer.
    let server = Faulty::start(|_| Act::Send(answer("perfect")));
    let four = place(4);
    let price = "--price 1000000,0";
    succeed(&mut judge(&four, &server, price));
    let ten = place(10);
    fs::copy(four.path("judgments.calls.jsonl"), ten.path("judgments.calls.jsonl"))
        .expect("copies");
    let message = fail(&mut judge(&ten, &server, &format!("{price} --max-cost 300")), 1);
    let expected = "cost about 240.00, those before have cost 160.00, and --max-cost is 300";
    assert!(message.contains(expected), "{message}");
    assert_eq!(server.requests().len(), 4);
    succeed(&mut judge(&ten, &server, &format!("{price} --max-cost 401")));
    assert_eq!(server.requests().len(), 10);
    succeed(&mut judge(&ten, &server, &format!("{price} --max-cost 1")));
}

#[test]
fn a_server_that_counts_nothing_is_estimated() {
    let server = Faulty::start(|_| {
        let body = r#"{"choices": [{"message": {"content": "perfect"}}]}"#;
        Act::Send(response(200, "", body))
    });
    let place = place(1);
    succeed(&mut judge(&place, &server, ""));
    let reply = &place.json_lines("judgments.calls.jsonl")[0];
    assert_eq!(
        (&reply["usage"], &reply["estimate"]["completion_tokens"]),
        (&Value::Null, &json!(2))
    );
    assert!(reply["estimate"]["prompt_tokens"].as_u64().expect("a number") > 100, "{reply}");
}

/// Answers that were received, by the number that the judgment repeats.
fn received(place: &Place) -> Vec<usize> {
    let text = fs::read_to_string(place.path("judgments.calls.jsonl")).unwrap_or_default();
    // The last line may be torn.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let replies = text[..whole].lines().map(|line| serde_json::from_str(line).expect("a reply"));
    let answered = replies.filter(|reply: &Value| reply["outcome"] == "answered");
    let number = |text: &str| text.strip_prefix("Wrong is ")?.strip_suffix('.')?.parse().ok();
    answered.map(|reply| number(reply["text"].as_str().expect("a text")).expect("ours")).collect()
}

#[test]
fn no_reply_is_paid_for_twice_whenever_the_run_is_killed() {
    const N: usize = 90;
    let server = Faulty::start(|request| {
        let text = format!("Wrong is {}.", number(request));
        Act::Later(Duration::from_millis(60), answer(&text))
    });
    let place = place(N);
    let mut known = BTreeSet::new();
    for kill in [12, 40, 70] {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cutq"))
            .current_dir(place.path(""))
            .args(FLAGS.split_whitespace().chain(["--judge", &server.spec()]))
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let end = Instant::now() + Duration::from_secs(60);
        while server.requests().len() < kill {
            assert!(Instant::now() < end, "only {} requests", server.requests().len());
            thread::sleep(Duration::from_millis(2));
        }
        process.kill().expect("runs");
        process.wait().expect("ends");
        // Requests that were under way may still be counted.
        thread::sleep(Duration::from_millis(100));
        known.extend(received(&place));
    }
    assert!(!known.is_empty() && known.len() < N, "{}", known.len());
    let before = server.requests().len();
    succeed(&mut judge(&place, &server, ""));
    let asked: Vec<usize> = server.requests()[before..].iter().map(number).collect();
    let rest: BTreeSet<usize> = (0..N).filter(|number| !known.contains(number)).collect();
    assert_eq!(asked.len(), rest.len());
    assert_eq!(BTreeSet::from_iter(asked), rest, "what is known is not asked again");
    let mut all = received(&place);
    all.sort_unstable();
    assert_eq!(all, (0..N).collect::<Vec<_>>(), "one answer each");
    for (i, line) in place.json_lines("judgments.jsonl").iter().enumerate() {
        assert_eq!(line["judgment"], format!("Wrong is {i}."), "it is the judgment of another");
    }
}
