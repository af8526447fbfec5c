//! `cutq generate`.

use serde_json::Value;

use crate::place::{Place, succeed};

#[test]
fn an_answer_goes_to_stdout_and_repeats() {
    let place = Place::new();
    let answer = |flags: &[&str]| {
        let question = ["-p", "Name the capital of France.", "-n", "12"];
        let mut command = place.with_model("generate", &question);
        String::from_utf8(succeed(command.args(flags)).stdout).unwrap()
    };
    let text = answer(&[]);
    assert!(text.contains("Paris"), "{text}");
    assert_eq!(text, answer(&[]));
    let value: Value = serde_json::from_str(&answer(&["--json"])).unwrap();
    assert_eq!(value["prompt"], "Name the capital of France.");
    assert_eq!(value["response"].as_str().unwrap().trim_end(), text.trim_end());
    assert!(value.get("before").is_none());
    let sampled = ["--temperature", "1.5", "--seed", "7"];
    assert_eq!(answer(&sampled), answer(&sampled));
}

#[test]
fn compare_answers_twice_and_the_adapter_matters() {
    let place = Place::new();
    let line = r#"{"instruction":"Say a word.","output":"Zanzibar."}"#;
    place.write("data.jsonl", line);
    let flags = "--data data.jsonl --out a.gguf --run-dir run --max-steps 8 --lr 2e-3 --quiet";
    succeed(&mut place.finetune(flags));
    let flags = ["-p", "-", "-n", "8", "--adapter", "a.gguf", "--compare"];
    let mut command = place.with_model("generate", &flags);
    let output = succeed(command.write_stdin("Say a word.\n"));
    let text = String::from_utf8(output.stdout).unwrap();
    let (before, after) = text.split_once("--- after").unwrap();
    assert!(before.starts_with("--- before\n"), "{text}");
    assert!(!before.contains("Zanzibar") && after.contains("Zanzibar"), "{text}");
}
