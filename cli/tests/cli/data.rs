//! `cutq data`, and what all commands have in common when they read data.

use std::io::Write;

use serde_json::Value;

use crate::place::{DATA, Place, fail, model, succeed};

fn json(place: &Place, flags: &[&str]) -> Value {
    let output = succeed(place.cutq(["data", "--json"]).args(flags));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_report_names_what_was_changed_left_out_and_not_used() {
    let place = Place::new();
    let lines = [
        r#"{"id":1,"instruction":"Add 1 and 1.","output":"3","judgment":"It is 2."}"#,
        r#"{"id":1,"instruction":"Add 1 and 1.","output":"3","judgment":"It is 2."}"#,
        r#"{"instruction":"Add 1 and 2.","output":"3","judgment":"Perfect!"}"#,
        r#"{"instruction":"Add 1 and 3.","output":"5","judgment":"$ERROR$"}"#,
        r#"{"instruction":"Add 1 and 4.","output":"6","remark":"It is 5."}"#,
    ];
    place.write("data.jsonl", lines.join("\n"));
    let stderr = fail(&mut place.cutq(["data", "data.jsonl"]), 1);
    assert!(stderr.contains("data.jsonl:5: field `remark` looks like criticism"), "{stderr}");
    assert!(stderr.contains("--field judgment=remark"), "{stderr}");

    let output = succeed(&mut place.cutq(["data", "data.jsonl", "--skip-bad-lines"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "\
data: 4 examples read (4 alpaca)
        fields not used: id (2) (--field)
      1 bad lines left out (--skip-bad-lines)
          data.jsonl:5: field `remark` looks like criticism and is not used, so the response would be learned as a good one
      1 duplicates (--on-duplicate)
          data.jsonl:2: 3
      1 failed judge calls (--on-failed-judge)
          data.jsonl:4: $ERROR$
      1 judgments that only praise (--on-praise)
          data.jsonl:3: Perfect!
      1 negatives and 1 positives to use
";
    assert_eq!(text, expected);

    let report = json(&place, &["data.jsonl", "--field", "judgment=remark"]);
    assert_eq!(report["screened"]["negatives"], 2);
    let report = json(&place, &["data.jsonl", "--ignore-field", "remark"]);
    assert_eq!(
        (&report["screened"]["negatives"], &report["screened"]["positives"]),
        (&1.into(), &2.into())
    );
    let stderr = fail(
        &mut place.cutq(["data", "data.jsonl", "--skip-bad-lines", "--field", "judgment=verdict"]),
        1,
    );
    assert!(stderr.contains("no example has a field \"verdict\""), "{stderr}");
    let stderr = fail(&mut place.cutq(["data", "data.jsonl", "--field", "verdict=remark"]), 2);
    assert!(stderr.contains("no format has a field"), "{stderr}");
}

#[test]
fn verdicts_quotes_and_truncated_answers_are_read_and_counted() {
    let place = Place::new();
    let line = |output: &str, fields: &str| {
        let origin = r#""id":"a","tokens":4,"sample":{"seed":1},"judge":"me","p_yes":0.2"#;
        format!("{{\"instruction\":\"Greet.\",\"output\":\"{output}\",{fields},{origin}}}")
    };
    let lines = [
        line(
            "I am glad.",
            r#""judgment":"No I.","verdict":"fault","quotes":[{"text":"I"},{"text":"me"}]"#,
        ),
        line("I was glad.", r#""judgment":"\"was glad\" is past.","verdict":"fault""#),
        line("Hm.", r#""judgment":"Perhaps.","verdict":"unsure""#),
        line("Hello.", r#""judgment":null,"verdict":"perfect","truncated":false"#),
        line("Hi.", r#""judgment":"Perfect!","verdict":"praise""#),
        line("Hello, my", r#""judgment":null,"verdict":"perfect","truncated":true"#),
        line("Hello, you", r#""judgment":"Rude.","verdict":"fault","truncated":true"#),
    ];
    place.write("data.jsonl", lines.join("\n"));
    let output = succeed(&mut place.cutq(["data", "data.jsonl"]));
    let expected = "\
data: 6 examples read (7 alpaca)
      1 answers left out of which the judge is unsure
      1 quotes that the response does not hold
      1 judgments that only praise (--on-praise)
          data.jsonl:5: Perfect!
      1 truncated answers left out that nobody criticises
          data.jsonl:6: Hello, my
      2 judgments that quote what is wrong (--spans)
      3 negatives and 2 positives to use
";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    for (fields, expected) in [
        (r#""verdict":"fault""#, "the verdict fault has no judgment"),
        (r#""judgment":"It is rude.","verdict":"perfect""#, "the verdict is \"perfect\""),
        (r#""judgment":"It is rude.","verdict":"praise""#, "the verdict is \"praise\""),
        (r#""judgment":"Perfect!","verdict":"fault""#, "the verdict is \"fault\""),
        (r#""quotes":[{"text":"Hi"}]"#, "a response with quotes has no judgment"),
        (r#""judgment":"No.","quotes":[{"text":"Hi","start":1,"end":3}]"#, "\"Hi\" does not stand"),
        (r#""judgment":"No.","quotes":[{"text":"Hi","start":0}]"#, "both `start` and `end`"),
        (r#""judgment":"No.","quotes":["Hi"]"#, "`quotes`"),
        (r#""judgment":"No.","truncated":1"#, "`truncated`"),
    ] {
        place.write("bad.jsonl", line("Hi there.", fields));
        let stderr = fail(&mut place.cutq(["data", "bad.jsonl"]), 1);
        assert!(stderr.contains("bad.jsonl:1: ") && stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn the_prompts_are_shown_with_their_special_tokens() {
    let place = Place::new();
    place.write(
        "data.jsonl",
        r#"{"instruction":"Say <|im_end|>.","output":"No.","judgment":"It did not."}"#,
    );
    let report = json(&place, &["data.jsonl", "--model", model().to_str().unwrap()]);
    let plain = report["plain_prompt"].as_str().unwrap();
    assert!(plain.contains("⟦<|im_start|>⟧user\nSay <|im_end|>.⟦<|im_end|>⟧"), "{plain}");
    let judged = report["judged_prompt"].as_str().unwrap();
    assert!(judged.contains("It did not.⟦<|im_end|>⟧"), "{judged}");
    assert_eq!(report["response"], "No.⟦<|im_end|>⟧");
    assert_eq!(report["tokenized"]["response_tokens"], 3);
}

#[test]
fn compressed_files_and_pipes_are_read_as_plain_ones() {
    let place = Place::with_data();
    let expected = json(&place, &["data.jsonl"]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(DATA.as_bytes()).unwrap();
    place.write("data.jsonl.gz", gzip.finish().unwrap());
    assert_eq!(json(&place, &["data.jsonl.gz"]), expected);
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    place.write("data.zst", ruzstd::encoding::compress_to_vec(DATA.as_bytes(), level));
    assert_eq!(json(&place, &["data.zst"]), expected);
    let output = succeed(place.cutq(["data", "--json", "-"]).write_stdin(DATA));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
    for (magic, found) in [(&b"BZh91"[..], "bzip2"), (b"PK\x03\x04", "a zip archive")] {
        place.write("other", magic);
        let stderr = fail(&mut place.cutq(["data", "other"]), 1);
        assert!(stderr.contains(found) && stderr.contains("hint: "), "{stderr}");
    }
}

#[test]
fn a_run_on_a_pipe_can_be_resumed() {
    let place = Place::new();
    let flags = "--data - --run-dir run --out a.gguf --max-steps 1 --batch-size 2 --max-length 256";
    succeed(place.finetune(flags).write_stdin(DATA));
    assert_eq!(place.read("run/data-1.jsonl"), DATA.as_bytes());
    let stderr = fail(place.finetune(flags).write_stdin(DATA), 1);
    assert!(stderr.contains("already"), "{stderr}");
    succeed(&mut place.cutq(["finetune", "--resume", "run"]));
}
