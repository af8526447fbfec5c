//! `cutq judge` with a person, at the page and in the terminal.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::page::{FLAGS, Page, shown};
use crate::place::{Place, fail, succeed};

/// A place with these answers.
fn place(answers: &[&str]) -> Place {
    let line = |(i, text): (usize, &&str)| {
        json!({"id": i.to_string(), "instruction": "Greet.", "output": text}).to_string()
    };
    let lines: Vec<String> = answers.iter().enumerate().map(line).collect();
    let place = Place::new();
    place.write("answers.jsonl", lines.join("\n"));
    place
}

#[test]
fn what_is_done_at_the_page_is_what_is_written() {
    let place = place(&["Bees 🐝👩‍👩‍👧 hum.", "b", "c", "d"]);
    let page = Page::open(&place);
    let state = page.state();
    assert_eq!((shown(&state), &state["can_undo"]), ("Bees 🐝👩‍👩‍👧 hum.", &json!(false)));
    assert_eq!((&state["number"], &state["counts"]["total"]), (&json!(1), &json!(4)));
    assert_eq!(state["seconds_left"], Value::Null);
    let wrong = json!({"text": "hum", "start": 13, "end": 16});
    let refused = page.act("criticise", &json!({"judgment": "No.", "quotes": [wrong]}));
    assert!(refused["refused"].as_str().unwrap().contains("does not hold"), "{refused}");
    // Characters, not UTF-16 units: the family is three people and two joiners.
    let quote = json!({"text": "hum", "start": 12, "end": 15});
    let state = page.act("criticise", &json!({"judgment": " No singing. ", "quotes": [quote]}));
    assert_eq!((shown(&state), &state["complaints"]), ("b", &json!(["No singing."])));
    assert_eq!(state["seconds_left"], 0);
    let praise = page.criticise("Great.");
    assert!(praise["refused"].as_str().unwrap().contains("praise"), "{praise}");
    assert_eq!(shown(&page.press("good")), "c");
    assert_eq!(shown(&page.press("skip")), "d");
    assert_eq!(shown(&page.press("undo")), "c");
    let state = page.press("undo");
    assert_eq!((shown(&state), &state["counts"]["open"]), ("b", &json!(3)));
    assert_eq!(shown(&page.criticise("Too short.")), "c");
    assert_eq!(shown(&page.press("skip")), "d");
    let state = page.press("good");
    let counts = json!({"total": 4, "good": 1, "criticised": 2, "skipped": 1, "open": 0});
    assert_eq!((shown(&state), &state["counts"]), ("nothing", &counts));
    let counts = page.finish();
    assert_eq!(counts["verdicts"], json!({"perfect": 1, "fault": 2}));
    assert_eq!((&counts["unasked"], &counts["failed"]), (&json!(1), &json!({})));
    let lines = place.json_lines("judgments.jsonl");
    let said: Vec<_> = lines.iter().map(|line| (&line["id"], &line["judgment"])).collect();
    let [zero, one, three] = ["0", "1", "3"].map(Value::from);
    let [singing, short] = ["No singing.", "Too short."].map(Value::from);
    assert_eq!(said, [(&zero, &singing), (&one, &short), (&three, &Value::Null)]);
    assert_eq!(lines[0]["quotes"], json!([{"text": "hum", "start": 12, "end": 15}]));
    assert_eq!(lines[0]["judge"], "human");
    succeed(&mut place.cutq(["data", "judgments.jsonl"]));
}

#[test]
fn nothing_that_was_saved_is_lost_or_asked_again() {
    let place = place(&["a", "b", "c", "d"]);
    let page = Page::open(&place);
    page.criticise("Wrong.");
    page.press("good");
    page.press("good");
    page.press("undo");
    page.kill();
    assert_eq!(place.json_lines("judgments.calls.jsonl").len(), 4);
    // The next sitting begins behind what is saved, and can go back into it.
    let page = Page::open(&place);
    let state = page.state();
    assert_eq!((shown(&state), &state["number"]), ("c", &json!(3)));
    assert_eq!(state["complaints"], json!(["Wrong."]));
    page.press("undo");
    let state = page.press("undo");
    assert_eq!((shown(&state), &state["answer"]["draft"]["judgment"]), ("a", &json!("Wrong.")));
    page.criticise("Very wrong.");
    page.kill();
    let page = Page::open(&place);
    assert_eq!(shown(&page.state()), "b");
    for _ in ["b", "c", "d"] {
        page.press("good");
    }
    assert_eq!(page.finish()["verdicts"], json!({"perfect": 3, "fault": 1}));
    assert_eq!(place.json_lines("judgments.jsonl")[0]["judgment"], "Very wrong.");
    // All is known: nobody is asked.
    let mut again = place.cutq(FLAGS.split_whitespace().chain(["human"]));
    let output = succeed(&mut again);
    assert!(!String::from_utf8(output.stderr).unwrap().contains("http://"));
}

#[test]
fn only_the_page_itself_is_let_in() {
    let place = place(&["a"]);
    let page = Page::open(&place);
    let good = r#"{"turn":0,"act":"good"}"#;
    for (line, headers, body, expected) in [
        ("GET /", &[][..], "", 403),
        ("GET /0123456789abcdef0123456789abcdef/judge", &[], "", 403),
        ("POST /act", &[], good, 403),
        ("POST /0123456789abcdef0123456789abcdef/act", &[], good, 403),
        ("GET /TOKEN/judge", &[("Host", "evil.example:PORT")], "", 403),
        ("GET /TOKEN/judge", &[("Host", "127.0.0.1")], "", 403),
        ("GET /TOKEN/judge", &[("Host", "127.0.0.1:1")], "", 403),
        ("POST /TOKEN/act", &[("Origin", "http://evil.example")], good, 403),
        ("POST /TOKEN/act", &[("Origin", "null")], good, 403),
        ("POST /TOKEN/act", &[("Origin", "http://localhost:PORT")], good, 403),
        ("POST /TOKEN/act", &[("Content-Type", "text/plain")], good, 415),
        ("POST /TOKEN/act", &[], "{\"turn\":", 400),
        ("POST /TOKEN/act", &[], r#"{"turn":9,"act":"good"}"#, 409),
        ("POST /TOKEN/judge", &[], "", 405),
        ("GET /TOKEN/act", &[], "", 405),
        ("DELETE /TOKEN/state", &[], "", 405),
        ("GET /TOKEN/", &[], "", 404),
        ("GET /TOKEN/../../../../etc/passwd", &[], "", 404),
        ("GET /TOKEN/..%2f..%2fetc/passwd", &[], "", 404),
        ("GET /TOKEN//etc/passwd", &[], "", 404),
        ("GET /TOKEN/answers.jsonl", &[], "", 404),
        ("GET /TOKEN/page.html", &[], "", 404),
        ("hello", &[], "", 400),
    ] {
        assert_eq!(page.status(line, headers, body), expected, "{line} {headers:?} {body}");
    }
    let large = format!("{{\"turn\":0,\"act\":\"good\",\"x\":\"{}\"}}", "x".repeat(1 << 16));
    assert_eq!(page.status("POST /TOKEN/act", &[], &large), 413);
    let head = format!("GET /{} HTTP/1.1\r\n", "x".repeat(1 << 15));
    assert_eq!(page.send(head.as_bytes()).0, 431);
    assert_eq!(page.state()["turn"], 0, "none of them did anything");
    let (status, head, _) = page.send(page.request("GET /TOKEN/judge", &[], "").as_bytes());
    assert_eq!(status, 200);
    for rule in
        ["default-src 'none'", "nosniff", "no-referrer", "no-store", "frame-ancestors 'none'"]
    {
        assert!(head.contains(rule), "{rule}: {head}");
    }
    let own = [("Host", "localhost:PORT"), ("Origin", "http://localhost:PORT")];
    assert_eq!(page.status("POST /TOKEN/act", &own, good), 200);
    assert_eq!(shown(&page.state()), "nothing");
    page.finish();
}

#[test]
fn a_connection_that_stays_silent_holds_nobody_up() {
    let place = place(&["a"]);
    let page = Page::open(&place);
    let silent: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", page.port)).unwrap()).collect();
    let begun = Instant::now();
    assert_eq!(shown(&page.press("good")), "nothing");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(silent);
    page.finish();
}

/// The twin in the terminal, which reads these lines.
fn terminal(place: &Place, lines: &str) -> Command {
    let mut command = place.cutq(FLAGS.split_whitespace().chain(["human:terminal"]));
    command.write_stdin(lines);
    command
}

#[test]
fn lines_judge_as_keys_do() {
    let place = place(&["Bees 🐝 hum. Bees hum.", "b", "c", "Tree bark, he said.", "e", "f"]);
    let lines = "?\n> Bees\n> wax\nToo many.\ng\ns\n1\n\nu\nx\nNot \"tree bark\". And \"he said\".\nGreat.\ng\n";
    let output = succeed(&mut terminal(&place, lines));
    let counts: Value = serde_json::from_slice(&output.stdout).expect("nothing but the counts");
    assert_eq!(counts["verdicts"], json!({"perfect": 2, "fault": 2}));
    assert_eq!((&counts["unasked"], &counts["failed"]), (&json!(2), &json!({})));
    let stderr = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "1 of 6",
        "quoted at 2 places",
        "does not hold these words",
        "1  Too many.",
        "You wrote: Too many.",
        "x is no key",
        "this reads as praise",
        "to the end, with the rest not judged",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    let lines = place.json_lines("judgments.jsonl");
    let bees =
        json!([{"text": "Bees", "start": 0, "end": 4}, {"text": "Bees", "start": 12, "end": 16}]);
    assert_eq!((&lines[0]["judgment"], &lines[0]["quotes"]), (&json!("Too many."), &bees));
    assert_eq!(lines[2]["quotes"], json!([{"text": "he said", "start": 11, "end": 18}]));
    assert_eq!(lines[3]["id"], "4");
    // The rest, at the other desk; the one that was skipped comes first.
    let page = Page::open(&place);
    assert_eq!(shown(&page.state()), "c");
    page.press("good");
    page.press("undo");
    page.press("good");
    page.press("good");
    assert_eq!(page.finish()["verdicts"], json!({"perfect": 4, "fault": 2}));
}

#[test]
fn the_end_of_the_lines_is_the_end() {
    let place = place(&["a", "b"]);
    let counts = succeed(&mut terminal(&place, "")).stdout;
    assert_eq!(serde_json::from_slice::<Value>(&counts).unwrap()["unasked"], 2);
    succeed(&mut terminal(&place, "g\ns\nu\ng\nu\nu\nWrong.\ng\nf\nnobody reads this\n"));
    let lines = place.json_lines("judgments.jsonl");
    assert_eq!((&lines[0]["judgment"], &lines[1]["judgment"]), (&json!("Wrong."), &Value::Null));
}

#[test]
fn flags_that_mean_nothing_to_a_person_are_refused() {
    let place = place(&["a"]);
    for (flags, expected) in [
        ("--criteria rules.txt", "--criteria has no meaning"),
        ("--judge-template q.jinja", "--judge-template has no meaning"),
        ("--price 1,2", "--price has no meaning"),
        ("--concurrency 2", "--concurrency has no meaning"),
        ("--judge-timeout 9", "--judge-timeout has no meaning"),
    ] {
        for desk in ["human", "human:terminal"] {
            let args = FLAGS.split_whitespace().chain([desk]).chain(flags.split_whitespace());
            let message = fail(&mut place.cutq(args), 2);
            assert!(message.contains(expected), "{flags}: {message}");
        }
    }
    let piped = "judge - --out judgments.jsonl --judge human:terminal".split_whitespace();
    let message = fail(&mut place.cutq(piped), 2);
    assert!(message.contains("standard input cannot be both"), "{message}");
}
