//! `cutq bench`.

use serde_json::Value;

use crate::place::{Place, fail, model, succeed};

const SHORT: [&str; 6] = ["--tokens", "64", "--batch", "1", "--repetitions", "1"];

#[test]
fn bench_prints_figures_that_hang_together() {
    let place = Place::new();
    let output = succeed(place.with_model("bench", &SHORT).arg("--json"));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| figures[key].as_f64().unwrap();
    assert!(number("train_tok_per_s") > 1.0);
    assert!(number("read_tok_per_s") > number("train_tok_per_s"));
    assert!(number("loss_last") < number("loss_first"));
    assert_eq!(number("n_params"), 134_515_008.0);
    let [layer, down, head] = [3_538_944.0, 576.0 * 1536.0, 576.0 * 49_152.0];
    // 63 of the 64 tokens are read, 32 predicted; before the first layer there is no adapter.
    let layers = 30.0 * layer + 29.0 * layer + down;
    let operations = 2.0 * (63.0 * layers + 32.0 * 2.0 * head);
    let gops = operations * number("train_tok_per_s") / 64.0 / 1e9;
    assert!((number("train_gops") / gops - 1.0).abs() < 1e-9, "{figures}");
    assert!(figures["generate_tok_per_s"].is_null(), "{figures}");
    if cfg!(target_os = "linux") {
        let [rss, anon, file] = ["rss", "anon", "file"].map(|m| number(&format!("peak_{m}_bytes")));
        assert!(rss > anon && rss > file && anon + file > 0.95 * rss, "{figures}");
        // Layers whose panels are retained give their part of the file back.
        let planned = figures["plan"]["weight_bytes"].as_f64().unwrap();
        assert!(file > 0.8 * planned && planned < number("model_bytes"), "{figures}");
    }
}

#[test]
fn phases_make_up_the_step() {
    let place = Place::new();
    let output = succeed(place.with_model("bench", &SHORT).arg("--json"));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = figures["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["forward", "head", "backward", "optimizer"]);
    assert!(phases.iter().all(|p| p["ms"].as_f64().unwrap() > 0.0), "{figures}");
    let shares: f64 = phases.iter().map(|p| p["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{figures}");
}

#[test]
fn generation_is_measured_where_it_is_asked_for() {
    let place = Place::new();
    let bench = || place.with_model("bench", &[&SHORT[..], &["--n-gen", "8"]].concat());
    let output = succeed(bench().arg("--json"));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Token by token a model is slower than many at once.
    let [read, generate] = ["read", "generate"].map(|what| &figures[format!("{what}_tok_per_s")]);
    assert!(generate.as_f64() > Some(1.0) && generate.as_f64() < read.as_f64(), "{figures}");
    let table = String::from_utf8(succeed(&mut bench()).stdout).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains("| generate ")).count(), 1, "{table}");
}

#[test]
fn sampling_is_measured_where_it_is_asked_for() {
    let place = Place::new();
    let bench = || place.with_model("bench", &[&SHORT[..], &["--n-parallel", "2"]].concat());
    let output = succeed(bench().arg("--json"));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(figures["sample_tok_per_s"].as_f64() > Some(1.0), "{figures}");
    let table = String::from_utf8(succeed(&mut bench()).stdout).unwrap();
    assert!(table.contains("| sample, 2 × (128 + 128) "), "{table}");
}

#[test]
fn several_models_make_one_table() {
    let place = Place::new();
    let output = succeed(place.with_model("bench", &SHORT).arg(model()));
    let table = String::from_utf8(output.stdout).unwrap();
    let rows = |name: &str| table.lines().filter(|l| l.starts_with(&format!("| {name}"))).count();
    assert_eq!((rows("model"), rows("SmolLM2")), (1, 2), "{table}");
    assert_eq!(table.lines().filter(|line| line.contains("| train ")).count(), 2, "{table}");

    let stderr = fail(place.with_model("bench", &SHORT).arg("missing.gguf"), 1);
    assert!(stderr.contains("missing.gguf"), "{stderr}");
}
