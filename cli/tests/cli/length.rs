//! Examples that are too long, and those that a template refuses, on the model's own tokenizer.

use cutq_ffi::{Gguf, Tokenizer};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

use crate::place::{Place, fail, model, succeed};
use crate::scripts::{SCRIPTS, below};

/// Says what the data came to, and stops before it trains.
const UNTIL_MEMORY: &str = "--out a.gguf --run-dir run --max-steps 1 --memory 1MiB";

/// The number that follows `before` in `text`.
fn number_after(text: &str, before: &str) -> usize {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{text} lacks {before}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Tokens of the only example in `instruction`, once it is cut.
fn longest(instruction: &str, max_length: usize) -> usize {
    let place = Place::new();
    let example = json!({"instruction": instruction, "output": "Nine.", "judgment": "It is ten."});
    place.write("data.jsonl", example.to_string());
    let flags = format!("--data data.jsonl --max-length {max_length} {UNTIL_MEMORY}");
    let stderr = fail(&mut place.finetune(&flags), 2);
    assert!(stderr.contains("1 prompts shortened"), "{stderr}");
    number_after(&stderr, "the longest sequence has ")
}

#[test]
fn a_text_of_any_script_is_cut_to_just_below_the_limit() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    for script in &SCRIPTS {
        // A character of several code points, such as a family, is up to twenty tokens.
        let one = if script.name == "emoji" { 24 } else { 8 };
        for parts in [900, 4000] {
            let max_length = 100 + below(&mut rng, 400);
            let found = longest(&script.text(&mut rng, parts), max_length);
            assert!(found <= max_length, "{}: {found} of {max_length}", script.name);
            assert!(found + one > max_length, "{}: {found} of {max_length}", script.name);
        }
    }
    for text in [" ".repeat(300_000), "a".repeat(1_000_000), "no ".repeat(700_000)] {
        assert_eq!(longest(&format!("Count. {text} Go."), 2048), 2048);
    }
}

#[test]
fn template_response_judgment_and_the_ends_of_the_text_stay() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let mut texts = |parts| SCRIPTS.each_ref().map(|script| script.text(&mut rng, parts));
    let (instructions, responses, judgments) = (texts(400), texts(2), texts(3));
    let examples = (0..SCRIPTS.len()).map(|i| {
        let text = format!("First {} last", instructions[i]);
        json!({"instruction": text, "output": responses[i], "judgment": judgments[i]}).to_string()
    });
    let place = Place::new();
    place.write("data.jsonl", examples.collect::<Vec<_>>().join("\n"));
    let flags = ["--data", "data.jsonl", "--json", "--max-length", "160"];
    let output = succeed(&mut place.with_model("inspect", &flags));

    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&model()).unwrap()).unwrap();
    let text = |ids: &serde_json::Value| {
        let ids: Vec<u32> = serde_json::from_value(ids.clone()).unwrap();
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.piece_bytes(id)).collect();
        (ids.len(), String::from_utf8(bytes).unwrap())
    };
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), SCRIPTS.len());
    for line in &lines {
        let i = line["index"].as_u64().unwrap() as usize;
        let (response_len, response) = text(&line["response_tokens"]);
        assert_eq!(response, format!("{}<|im_end|>", responses[i]));
        let (plain_len, plain) = text(&line["prompt_tokens"]);
        let (judged_len, judged) = text(&line["judged_prompt_tokens"]);
        assert!(plain_len < judged_len && judged_len + response_len <= 160, "{judged_len}");
        assert!(judged_len + response_len > 160 - 24, "{judged_len}");
        for prompt in [&plain, &judged] {
            assert!(prompt.contains("<|im_start|>user\nFirst "), "{prompt}");
            assert!(prompt.ends_with("<|im_end|>\n<|im_start|>assistant\n"), "{prompt}");
        }
        assert!(plain.contains(" last<|im_end|>"), "{plain}");
        assert!(judged.contains(judgments[i].trim()), "{judged} lacks {}", judgments[i]);
    }
}

#[test]
fn a_judgment_that_does_not_fit_is_named_or_left_out() {
    let place = Place::new();
    let judgment = "It is ten. ".repeat(200);
    let long = json!({"instruction": "How many?", "output": "Nine.", "judgment": judgment});
    let good = json!({"instruction": "Say hi.", "output": "Hi."});
    place.write("data.jsonl", format!("{good}\n{long}\n"));
    let flags = format!("--data data.jsonl --max-length 200 {UNTIL_MEMORY}");
    let stderr = fail(&mut place.finetune(&flags), 1);
    assert!(stderr.contains("data.jsonl:2: the judgment is too long"), "{stderr}");
    assert!(number_after(&stderr, "the judgment 8") <= 99, "more than 800 tokens: {stderr}");
    let stderr = fail(&mut place.finetune(&format!("{flags} --on-long drop")), 2);
    assert!(stderr.contains("1 examples too long left out"), "{stderr}");
}

#[test]
fn an_example_that_the_template_refuses_stops_the_run_or_is_left_out() {
    let place = Place::new();
    let template = "{% for m in messages %}{% if m.role == 'system' %}\
        {{ raise_exception('this model takes no system message') }}{% endif %}\
        <|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
    place.write("strict.jinja", template);
    let system = json!({"role": "system", "content": "Be brief."});
    let turns = [
        json!({"role": "user", "content": "Hi."}),
        json!({"role": "assistant", "content": "Hello."}),
    ];
    let good = json!({"messages": turns}).to_string();
    let bad = json!({"messages": [&system, &turns[0], &turns[1]]}).to_string();
    place.write("data.jsonl", format!("{good}\n{bad}\n"));
    place.write("bad.jsonl", format!("{bad}\n"));

    let flags = format!("--template strict.jinja {UNTIL_MEMORY}");
    let stderr = fail(&mut place.finetune(&format!("--data data.jsonl {flags}")), 1);
    assert!(stderr.contains("data.jsonl:2: the template cannot render"), "{stderr}");
    assert!(stderr.contains("takes no system message"), "{stderr}");
    assert!(stderr.contains("hint: --skip-bad-lines"), "{stderr}");
    let flags = format!("{flags} --skip-bad-lines");
    let stderr = fail(&mut place.finetune(&format!("--data data.jsonl {flags}")), 2);
    assert!(stderr.starts_with("skipped: ") && stderr.contains("data.jsonl:2: "), "{stderr}");
    assert!(stderr.contains("1 examples that the template cannot render"), "{stderr}");
    assert!(stderr.contains("0 negatives and 1 positives"), "{stderr}");
    let stderr = fail(&mut place.finetune(&format!("--data bad.jsonl {flags}")), 1);
    assert!(stderr.contains("bad.jsonl:1: the template cannot render this example, nor any other"));
    assert!(stderr.contains("takes no system message"), "{stderr}");
}
