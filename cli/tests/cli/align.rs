//! `cutq align`: rounds with a judge that is a small script.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::faulty::{Act, Faulty, answer};
#[cfg(unix)]
use crate::place::interrupt;
use crate::place::{Place, fail, model, succeed};

/// Criticises every other answer, by its length, and quotes its first word.
const JUDGE: &str = r#"
import json, sys
for line in sys.stdin:
    text = json.loads(line)["response"]
    word = text.split()[0] if text.split() else ""
    start = text.find(word)
    quotes = [{"text": word, "start": start, "end": start + len(word)}]
    bad = len(text) % 2
    print(json.dumps({"judgment": "Its length is odd.", "quotes": quotes} if bad else {"judgment": None}), flush=True)
"#;

/// Two rounds of a few short answers each.
const FLAGS: &str = "--instructions train.jsonl --eval-instructions eval.jsonl --rounds 2 \
    --samples-per-round 6 -n 6 --r 4 --batch-size 2 --threads 1 --positive-ratio 1 --patience 9";

/// Prompts, and the judge above.
fn with_prompts() -> Place {
    let place = Place::new();
    let lines = |nouns: &[&str]| -> String {
        nouns.iter().map(|noun| format!("{{\"instruction\":\"Name a {noun}.\"}}\n")).collect()
    };
    place.write(
        "train.jsonl",
        lines(&["bird", "tree", "city", "fruit", "river", "colour", "tool", "song"]),
    );
    place.write("eval.jsonl", lines(&["fish", "star", "game"]));
    place.write("test.jsonl", lines(&["book", "stone"]));
    place.write("judge.py", JUDGE);
    place
}

fn align(place: &Place, run: &str, flags: &str) -> assert_cmd::Command {
    by_judge(place, run, flags, "python3 judge.py")
}

fn by_judge(place: &Place, run: &str, flags: &str, command: &str) -> assert_cmd::Command {
    let flags = format!("{FLAGS} {flags} --run-dir {run}");
    let mut cutq = place.with_model("align", &flags.split_whitespace().collect::<Vec<_>>());
    cutq.arg("--judge").arg(format!("cmd:{command}"));
    cutq
}

/// The lines of `rounds.jsonl` without the time that they took.
fn rounds(place: &Place, run: &str) -> Vec<Value> {
    let mut lines = place.json_lines(&format!("{run}/rounds.jsonl"));
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("seconds");
    }
    lines
}

/// No question has more than one answer, in any file of calls.
fn assert_paid_once(place: &Place, run: &str) {
    for stage in
        ["rounds/0/eval", "rounds/1/judge", "rounds/1/eval", "rounds/2/judge", "rounds/2/eval"]
    {
        let calls = place.json_lines(&format!("{run}/{stage}/calls.jsonl"));
        let keys: HashSet<_> = calls.iter().map(|call| call["key"].to_string()).collect();
        assert_eq!(keys.len(), calls.len(), "{stage}");
    }
}

#[test]
fn rounds_leave_their_lines_and_killed_ones_the_same() {
    let place = with_prompts();
    let output = succeed(&mut align(&place, "whole", "--test-instructions test.jsonl"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "dry round: 6 prompts",
        "25 answers, 25 calls: 1m\n  training on ",
        "round 2/2, ",
        "again, with another seed",
        "test: 2 ",
    ] {
        assert!(stderr.contains(expected), "{stderr} lacks {expected}");
    }
    let lines = place.json_lines("whole/rounds.jsonl");
    let names: Vec<_> = lines[1].as_object().unwrap().keys().map(String::as_str).collect();
    #[rustfmt::skip]
    let expected = [
        "round", "pass_rate", "ci95", "delta_best_ci95", "judged", "negatives", "failed", "unsure",
        "truncated", "mean_response_tokens", "distinct2", "kl_base", "ppl_ratio", "u_share",
        "u_quote_precision", "u_quote_recall", "seconds", "calls", "cost",
    ];
    assert_eq!(names, expected);
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["judged"], &lines[0]["kl_base"]), (&Value::Null, &Value::from(0.0)));
    assert_eq!((&lines[1]["judged"], &lines[1]["cost"]), (&Value::from(6), &Value::Null));
    assert!(lines[2]["kl_base"].as_f64().unwrap() >= 0.0);
    assert!(lines[1]["u_share"].is_number() && lines[2]["ppl_ratio"].as_f64().unwrap() > 0.0);
    assert!(place.path("whole/test.json").exists() && place.path("whole/eval/2.jsonl").exists());
    assert_paid_once(&place, "whole");

    for pause in [700, 1500, 2500, 3500] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cutq"))
            .current_dir(place.path(""))
            .arg("align")
            .arg(model())
            .args(FLAGS.split_whitespace())
            .args(["--test-instructions", "test.jsonl", "--run-dir", "cut"])
            .args(["--judge", "cmd:python3 judge.py"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    succeed(&mut align(&place, "cut", "--test-instructions test.jsonl"));
    for round in [1, 2] {
        let adapter = |run: &str| place.read(&format!("{run}/rounds/{round}/adapter.gguf"));
        assert!(adapter("cut") == adapter("whole"), "round {round} has another adapter");
    }
    assert_eq!(rounds(&place, "cut"), rounds(&place, "whole"));
    assert!(place.read("cut/test.json") == place.read("whole/test.json"));
    assert_paid_once(&place, "cut");

    let message = fail(&mut align(&place, "cut", "--test-instructions test.jsonl --seed 7"), 1);
    assert!(message.contains("training.recipe.seed was 42, now it is 7"), "{message}");
}

#[test]
fn without_a_signal_nothing_begins() {
    let place = with_prompts();
    let judge = |name: &str, line: &str| {
        place.write(name, format!("while read -r line; do {line}; done\n"));
        let run = name.trim_end_matches(".sh");
        fail(&mut by_judge(&place, run, "", &format!("sh {name}")), 1)
    };
    let good = judge("good.sh", r#"echo '{"judgment": null}'"#);
    assert!(good.contains("all 6 answers pass: there is nothing to learn"), "{good}");
    let bad = judge("bad.sh", r#"echo '{"judgment": "Wrong."}'"#);
    assert!(bad.contains("none of 6 answers passes"), "{bad}");
    let broken = judge("broken.sh", "echo oops");
    assert!(broken.contains("6 calls of cmd:sh broken.sh failed"), "{broken}");
    assert!(!place.path("broken/rounds").exists() && place.path("broken/run.json").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_says_how_to_go_on_and_the_folder_is_locked() {
    let place = with_prompts();
    let child = Command::new(env!("CARGO_BIN_EXE_cutq"))
        .current_dir(place.path(""))
        .arg("align")
        .arg(model())
        .args(FLAGS.split_whitespace())
        .args(["--run-dir", "run", "--judge", "cmd:python3 judge.py"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !place.path("run/dry.tmp").exists() {
        sleep(Duration::from_millis(5));
    }
    let message = fail(&mut align(&place, "run", ""), 1);
    assert!(message.contains("another process"), "{message}");
    let (output, _) = interrupt(child);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("the same command goes on where it stopped"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_does_not_wait_for_a_judge_that_hangs() {
    let place = with_prompts();
    place.write("judge.sh", "echo '{\"judgment\": null}'; exec sleep 600");
    let child = Command::new(env!("CARGO_BIN_EXE_cutq"))
        .current_dir(place.path(""))
        .arg("align")
        .arg(model())
        .args(FLAGS.split_whitespace())
        .args(["--run-dir", "run", "--judge", "cmd:exec sh judge.sh"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let calls = "run/dry.tmp/calls.jsonl";
    while !place.path(calls).exists() || place.json_lines(calls).is_empty() {
        sleep(Duration::from_millis(5));
    }
    let (output, took) = interrupt(child);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(place.json_lines(calls).len(), 1, "what was not said is no reply");
}

#[test]
fn a_run_says_what_it_costs_and_stops_before_the_limit() {
    let place = with_prompts();
    // It counts 40 tokens read for every call.
    let server = Faulty::start(|request| {
        let is_odd = request.text().len() % 2 == 1;
        Act::Send(answer(if is_odd { "Its length is odd." } else { "perfect" }))
    });
    let align = |flags: &str| {
        let flags = format!("{FLAGS} --run-dir run --price 1000000,0 {flags}");
        let mut cutq = place.with_model("align", &flags.split_whitespace().collect::<Vec<_>>());
        cutq.args(["--judge", &server.spec()]);
        cutq
    };
    // 2 × 6 answers to train on, and 3 × 3 that measure; the dry round judges 6.
    for _ in 0..2 {
        let message = fail(&mut align("--max-cost 500"), 1);
        assert!(
            message.contains("21 answers, 21 calls, cost 840.00: 1m\n  training on "),
            "{message}"
        );
        assert!(message.contains("cost about 840.00, and --max-cost is 500"), "{message}");
        assert_eq!(server.requests().len(), 6);
    }
    let message = fail(&mut align("--max-cost 240"), 1);
    assert!(message.contains("--max-cost is 240"), "{message}");
    assert_eq!(server.requests().len(), 6, "the dry round has cost as much");
    succeed(&mut align("--max-cost 900"));
    let lines = place.json_lines("run/rounds.jsonl");
    for line in &lines {
        let (cost, calls) = (line["cost"].as_f64().unwrap(), line["calls"].as_f64().unwrap());
        assert!((cost - 40.0 * calls).abs() < 1e-9, "{line}");
    }
    let calls: u64 = lines.iter().map(|line| line["calls"].as_u64().unwrap()).sum();
    assert_eq!((calls, server.requests().len()), (21, 21));
}

#[test]
fn a_person_judges_rounds_and_may_skip() {
    let place = with_prompts();
    let flags = format!("{FLAGS} --run-dir run --max-failed 0 --judge human:terminal");
    let mut cutq = place.with_model("align", &flags.split_whitespace().collect::<Vec<_>>());
    // What is too much for a sitting is refused at its end; a sitting more is not asked for.
    let sitting = "s\nNot this.\ng\nNot that.\ng\nNot this.\ne\nf\n";
    let output = succeed(cutq.write_stdin(sitting.repeat(9)));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("5 judged: 2 good, 3 with faults"), "{stderr}");
    assert!(stderr.contains("1 not asked yet") && stderr.contains("1  Not this."), "{stderr}");
    assert_eq!(place.json_lines("run/dry/judgments.jsonl").len(), 5);
    let lines = rounds(&place, "run");
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_while_a_person_thinks() {
    let place = with_prompts();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cutq"))
        .current_dir(place.path(""))
        .arg("align")
        .arg(model())
        .args(FLAGS.split_whitespace())
        .args(["--run-dir", "run", "--judge", "human"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("http://127.0.0.1:")), "no page");
    let (output, took) = interrupt(child);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(rest.iter().any(|line| line.contains("the same command goes on")), "{rest:?}");
}
