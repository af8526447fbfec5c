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
