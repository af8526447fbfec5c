//! `cutq generate --data`: answers to the prompts of a file.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::place::{Place, fail, model, succeed};

/// Prompts in four forms.
const PROMPTS: &str = r#"{"id":"sum","instruction":"Add.","input":"1 and 2","output":"3","level":1}
{"prompt":"Name a colour."}
{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Greet."}]}
{"question":"Name a fruit."}
"#;

const FLAGS: &str = "--data prompts.jsonl -n 6";

fn generate(place: &Place, flags: &str) -> assert_cmd::Command {
    place.with_model("generate", &flags.split_whitespace().collect::<Vec<_>>())
}

fn with_prompts() -> Place {
    let place = Place::new();
    place.write("prompts.jsonl", PROMPTS);
    place
}

#[test]
fn every_prompt_has_its_line_in_their_order() {
    let place = with_prompts();
    let output = succeed(&mut generate(&place, &format!("{FLAGS} --out a.jsonl")));
    let stderr = String::from_utf8(output.stderr).unwrap();
    for expected in ["4 prompts", "level (1), output (1)", "4 answers, ", "answers 4/4"] {
        assert!(stderr.contains(expected), "{stderr} lacks {expected}");
    }
    let lines = place.json_lines("a.jsonl");
    assert_eq!(
        lines.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["sum", "2", "3", "4"]
    );
    assert_eq!(lines[0]["instruction"], "Add.\n1 and 2");
    assert_eq!(lines[2]["messages"][0], json!({"role": "system", "content": "Be brief."}));
    for line in &lines {
        let tokens = line["tokens"].as_u64().unwrap();
        assert!(tokens <= 6 && !line["output"].as_str().unwrap().is_empty(), "{line}");
        assert_eq!(line["truncated"], tokens == 6);
        assert_eq!(line["sample"]["adapter"], Value::Null);
    }
    // They are data, but no example of a good answer where the end is missing.
    let truncated = lines.iter().filter(|line| line["truncated"] == true).count();
    assert!(truncated > 0);
    let mut data = place.cutq(["data", "a.jsonl", "--json"]);
    match truncated {
        4 => assert!(fail(&mut data, 1).contains("4 truncated without criticism")),
        _ => {
            let report = succeed(&mut data).stdout;
            let report: Value = serde_json::from_slice(&report).unwrap();
            assert_eq!(report["screened"]["positives"], 4 - truncated);
        }
    }
}

#[test]
fn an_answer_depends_on_its_prompt_seed_and_number_alone() {
    let place = with_prompts();
    let flags = format!("{FLAGS} --temperature 1.5 --n-samples 2 --quiet");
    succeed(&mut generate(&place, &format!("{flags} --out a.jsonl")));
    let all = place.json_lines("a.jsonl");
    assert_eq!(all.len(), 8);
    assert_eq!((&all[2]["id"], &all[3]["id"]), (&json!("2#1"), &json!("2#2")));
    assert_ne!(all[2]["sample"]["seed"], all[3]["sample"]["seed"]);
    // One prompt alone, in another place of another file.
    place.write("prompts.jsonl", "\n{\"prompt\":\"Name a colour.\"}\n");
    succeed(&mut generate(&place, &format!("{flags} --out b.jsonl")));
    assert_eq!(place.json_lines("b.jsonl"), all[2..4]);
    succeed(&mut generate(&place, &format!("{flags} --out c.jsonl --seed 7")));
    assert_ne!(place.json_lines("c.jsonl")[0]["sample"]["seed"], all[2]["sample"]["seed"]);
}

#[test]
fn answers_that_were_cut_go_on_to_the_same_bits() {
    let place = with_prompts();
    let flags = format!("{FLAGS} --temperature 1 --n-samples 8 --quiet");
    succeed(&mut generate(&place, &format!("{flags} --out whole.jsonl")));
    let mut child = Command::new(env!("CARGO_BIN_EXE_cutq"))
        .current_dir(place.path(""))
        .arg("generate")
        .arg(model())
        .args(flags.split_whitespace())
        .args(["--out", "cut.jsonl", "--threads", "1"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = place.path("cut.jsonl.part");
    let started = Instant::now();
    while std::fs::read_to_string(&part).map_or(0, |text| text.lines().count()) < 4 {
        assert!(started.elapsed() < Duration::from_secs(120), "no answers in two minutes");
        sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("cut.jsonl").exists(), "killed before its end");
    let refused = fail(&mut generate(&place, &format!("{flags} --out cut.jsonl --seed 7")), 1);
    assert!(refused.contains("seed was 42, now it is 7"), "{refused}");
    succeed(&mut generate(&place, &format!("{flags} --out cut.jsonl")));
    assert!(place.read("cut.jsonl") == place.read("whole.jsonl"), "other answers");
    assert!(!part.exists());
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let place = with_prompts();
    place.write("text.txt", "Name a colour.\n");
    for (flags, code, message) in [
        ("--data text.txt --out a.jsonl", 1, "text.txt:1: not valid JSON"),
        ("--data prompts.jsonl --out a.jsonl --n-samples 2", 2, "--n-samples has no meaning"),
        ("--data prompts.jsonl --out a.jsonl --system Hi", 2, "prompt \"3\" has a system message"),
        ("-p Hi --min-p 0.1 --temperature 1", 2, "--min-p needs --data"),
    ] {
        let stderr = fail(&mut generate(&place, flags), code);
        assert!(stderr.contains(message), "{flags}: {stderr}");
    }
    assert!(!place.path("a.jsonl").exists());
}
