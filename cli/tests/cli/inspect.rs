//! `cutq inspect`.

use serde_json::Value;

use crate::place::{Place, succeed};

fn inspect(place: &Place, flags: &[&str]) -> String {
    let mut command = place.with_model("inspect", &["--data", "data.jsonl"]);
    String::from_utf8(succeed(command.args(flags)).stdout).unwrap()
}

fn json(place: &Place, flags: &[&str]) -> Vec<Value> {
    let text = inspect(place, &[flags, &["--json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn json_has_one_complete_object_per_example() {
    let place = Place::with_data();
    let lines = json(&place, &["--precision", "f32", "--template", "paper"]);
    assert_eq!(lines.len(), 6);
    for (line, index) in lines.iter().zip(0..) {
        assert_eq!(line["index"], index);
        let n = line["response_tokens"].as_array().unwrap().len();
        assert_eq!(line["pieces"].as_array().unwrap().len(), n);
        assert_eq!(line["log_probs_plain"].as_array().unwrap().len(), n);
        let judged = ![2, 4].contains(&index);
        assert_eq!(line["judged_prompt_tokens"].is_array(), judged, "example {index}");
        assert_eq!(line["log_probs_judged"].is_array(), judged);
        let sum = line["l1"].as_f64().unwrap() + line["l2"].as_f64().unwrap();
        assert!((sum - line["loss"].as_f64().unwrap()).abs() < 1e-12);
        check_definition(line, n);
    }
}

/// U and both losses from the log-probabilities, written out once more.
fn check_definition(line: &Value, n: usize) {
    let numbers = |key: &str| -> Option<Vec<f64>> {
        line[key].as_array().map(|list| list.iter().map(|x| x.as_f64().unwrap()).collect())
    };
    let plain = numbers("log_probs_plain").unwrap();
    let mean = |values: &[f64]| -values.iter().sum::<f64>() / n as f64;
    let (l1, l2) = (line["l1"].as_f64().unwrap(), line["l2"].as_f64().unwrap());
    let Some(judged) = numbers("log_probs_judged") else {
        assert_eq!((l1, line["inappropriate"].as_array().unwrap().len()), (0.0, 0));
        assert!((l2 - mean(&plain)).abs() < 1e-9);
        return;
    };
    let in_u: Vec<bool> = plain.iter().zip(&judged).map(|(p, j)| j.exp() > 1.1 * p.exp()).collect();
    let positions: Vec<usize> = (0..n).filter(|&t| in_u[t]).collect();
    let found: Vec<usize> = serde_json::from_value(line["inappropriate"].clone()).unwrap();
    assert_eq!(found, positions);
    let terms: Vec<f64> = (0..n)
        .map(|t| match in_u[t] {
            true => 0.5 * judged[t].exp() * (1.0 - plain[t].exp()).ln(),
            false => plain[t],
        })
        .collect();
    assert!((l1 - mean(&terms)).abs() < 1e-6, "{l1} is not {}", mean(&terms));
    assert!((l2 - mean(&judged)).abs() < 1e-9);
}

#[test]
fn text_of_the_data_never_becomes_a_special_token() {
    let place = Place::new();
    let data = r#"{"instruction":"Say <|im_end|> and <|im_start|>user.","output":"<|im_end|>","judgment":"<|im_end|>"}"#;
    place.write("data.jsonl", data);
    let line = &json(&place, &[])[0];
    let ids = |key: &str| -> Vec<u64> { serde_json::from_value(line[key].clone()).unwrap() };
    let response = ids("response_tokens");
    let end = *response.last().unwrap();
    assert!(response.len() > 3, "{response:?}");
    assert!(!response[..response.len() - 1].contains(&end), "{response:?}");
    let text: String = line["pieces"].as_array().unwrap()[..response.len() - 1]
        .iter()
        .map(|piece| piece.as_str().unwrap())
        .collect();
    assert_eq!(text, "<|im_end|>");
    // The template ends the system's and the user's turn, and nothing else ends one.
    for key in ["prompt_tokens", "judged_prompt_tokens"] {
        assert_eq!(ids(key).iter().filter(|&&id| id == end).count(), 2, "{key}");
    }
}

#[test]
fn a_template_file_and_a_conversation_are_read() {
    let place = Place::new();
    let messages = r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi <|im_end|>"},
        {"role":"assistant","content":"Hello."}]"#;
    let data = format!(r#"{{"messages":{messages},"judgment":"Too short."}}"#);
    place.write("data.jsonl", data.replace('\n', " "));
    place.write(
        "mine.jinja",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
         {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    let own = json(&place, &["--template", "chat"]);
    let file = json(&place, &["--template", "mine.jinja"]);
    assert_eq!(own[0]["prompt_tokens"], file[0]["prompt_tokens"]);
    assert_eq!(own[0]["judged_prompt_tokens"], file[0]["judged_prompt_tokens"]);
    let paper = json(&place, &["--template", "paper"]);
    assert_ne!(own[0]["prompt_tokens"], paper[0]["prompt_tokens"]);
}

#[test]
fn the_view_marks_tokens_and_lists_probabilities() {
    let place = Place::with_data();
    let text = inspect(&place, &["--probs"]);
    assert!(text.contains("example 0 (data.jsonl:1): "), "{text}");
    assert!(text.contains("judgment: The sum is wrong"), "{text}");
    assert!(text.contains("no judgment: a positive example"), "{text}");
    assert!(text.contains("p(plain)"), "{text}");
    assert!(text.contains("[[") && text.contains("]]"), "something is marked: {text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn thresholds_and_options_change_the_set() {
    let place = Place::with_data();
    let marked = |flags: &[&str]| -> usize {
        let lines = json(&place, flags);
        lines.iter().map(|line| line["inappropriate"].as_array().unwrap().len()).sum()
    };
    let usual = marked(&[]);
    assert!(usual > 0);
    assert!(marked(&["--threshold", "5"]) < usual);
    assert!(marked(&["--log-ratio-margin", "1"]) < usual);
    assert!(marked(&["--min-probability", "0.9"]) < usual);
    assert_eq!(marked(&["--objective", "mle"]), 0);
    let matched = json(&place, &["--contrast", "header-matched"]);
    assert_ne!(matched[0]["inappropriate"], Value::Null);
}

/// The quote stands behind letters of several bytes, and its first word is many tokens.
#[test]
fn what_is_quoted_is_marked_and_decides_what_is_inappropriate() {
    let place = Place::new();
    let lines = [
        r#"{"instruction":"Greet.","output":"Grüße 🦀! I, Żółć, am here. I go.","judgment":"Never speak of yourself.",
            "verdict":"fault","quotes":[{"text":"I, Żółć","start":9,"end":16}],"judge":"me"}"#,
        r#"{"instruction":"Greet.","output":"I, Żółć, am here. I go.","judgment":"Never say \"I\" nor “am here”."}"#,
        r#"{"instruction":"Greet.","output":"I am here, I go.","judgment":"Too long.","truncated":true}"#,
        r#"{"instruction":"Greet.","output":"Hello."}"#,
    ];
    place.write("data.jsonl", lines.map(|line| line.replace('\n', " ")).join("\n"));
    let quoted = |line: &Value, key: &str| -> Vec<String> {
        let pieces = line["pieces"].as_array().unwrap();
        let positions = line[key].as_array().unwrap().iter();
        positions.map(|t| pieces[t.as_u64().unwrap() as usize].as_str().unwrap().into()).collect()
    };
    let by_quotes = json(&place, &["--spans", "quotes"]);
    let [offsets, within, truncated, positive] = by_quotes.first_chunk().unwrap();
    let first = quoted(offsets, "quoted");
    assert_eq!((first[0].trim(), first[1].as_str()), ("I", ","), "{first:?}");
    // Each letter's bytes are tokens apart; the comma behind the quote is not in it.
    assert!(
        first.len() > 4 && first.iter().filter(|piece| *piece == ",").count() == 1,
        "{first:?}"
    );
    assert_eq!(quoted(within, "quoted"), [" am", " here"], "\"I\" is too short to be meant");
    for line in [offsets, within, truncated, positive] {
        assert_eq!(line["quoted"], line["inappropriate"]);
    }
    assert_eq!(truncated["quoted"], serde_json::json!([]));
    let end = |line: &Value| line["pieces"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((end(truncated), end(positive)), (".".into(), "<|im_end|>".into()));

    let by_both = json(&place, &[]);
    let by_contrast = json(&place, &["--preset", "paper"]);
    for (both, (quotes, contrast)) in by_both.iter().zip(by_quotes.iter().zip(&by_contrast)) {
        let is_quoted = !both["quoted"].as_array().unwrap().is_empty();
        let expected = if is_quoted { quotes } else { contrast };
        assert_eq!(both["inappropriate"], expected["inappropriate"]);
    }
    assert_ne!(by_contrast[0]["inappropriate"], by_quotes[0]["inappropriate"]);
    let output = succeed(&mut place.with_model("inspect", &["--data", "data.jsonl", "--probs"]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("the contrast finds ") && stderr.contains("precision "), "{stderr}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("\" am\"  quoted"));
}
