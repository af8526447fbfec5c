//! Wrong input of every kind ends in a message that says what, where and how many.

use std::path::Path;

use cutq_ffi::{Adapter, LoraConfig, LoraPair, Projection};

use crate::place::{Place, fail, model, succeed};

/// A GGUF without tensors and with these string values.
fn gguf(values: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend((values.len() as u64).to_le_bytes());
    for (key, value) in values {
        bytes.extend(string(key));
        bytes.extend(8_u32.to_le_bytes());
        bytes.extend(string(value));
    }
    bytes
}

/// What `finetune` prints for another model file.
fn with_model(place: &Place, name: &str) -> String {
    fail(&mut place.cutq(["finetune", name, "--data", "data.jsonl"]), 1)
}

#[test]
fn a_missing_model_is_named() {
    let message = with_model(&Place::with_data(), "none.gguf");
    assert!(message.contains("none.gguf"), "{message}");
    assert!(message.contains("No such file"), "{message}");
}

#[test]
fn a_file_that_is_no_gguf_is_named() {
    let place = Place::with_data();
    place.write("text.gguf", "hello, world");
    place.write("empty.gguf", "");
    for name in ["text.gguf", "empty.gguf"] {
        let message = with_model(&place, name);
        assert!(message.contains(name) && message.contains("GGUF"), "{message}");
    }
}

#[test]
fn other_formats_are_named_with_what_to_do() {
    let place = Place::with_data();
    let mut safetensors = 64_u64.to_le_bytes().to_vec();
    safetensors.extend(br#"{"model.norm.weight":{"dtype":"F16"#);
    for (content, expected, hint) in [
        (&b"version https://git-lfs.github.com/spec/v1\n"[..], "a Git LFS pointer", "git lfs pull"),
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page", "download the GGUF again"),
        (&safetensors, "safetensors, not a GGUF", "convert_hf_to_gguf.py"),
        (b"PK\x03\x04", "a zip archive", "convert_hf_to_gguf.py"),
        (b"tjgg\x03\0\0\0", "GGJT, the format before GGUF", "a newer GGUF"),
        (b"GGUF\x01\0\0\0", "GGUF version 1", "a newer GGUF"),
        (b"GGUF\0\0\0\x03", "big-endian", "gguf-convert-endian"),
        (b"GGUF\x09\0\0\0", "GGUF version 9", "a newer cutq"),
        (b"GGUF\x03\0\0\0\x01", "header cannot be read", "is the file complete?"),
    ] {
        place.write("odd.gguf", content);
        let message = with_model(&place, "odd.gguf");
        assert!(message.contains("odd.gguf") && message.contains(expected), "{message}");
        assert!(message.contains("\nhint: ") && message.contains(hint), "{message}");
    }
    std::fs::create_dir(place.path("folder")).unwrap();
    let message = with_model(&place, "folder");
    assert!(message.contains("hint: name the GGUF file in it"), "{message}");
}

#[test]
fn adapters_of_other_formats_are_named() {
    let place = Place::with_data();
    let mut safetensors = 64_u64.to_le_bytes().to_vec();
    safetensors.extend(br#"{"base_model.model.lora_A.weight":{"dtype":"F16"#);
    std::fs::create_dir(place.path("peft")).unwrap();
    place.write("peft/adapter_config.json", "{}");
    place.write("peft/adapter_model.safetensors", safetensors);
    for name in ["peft", "peft/adapter_model.safetensors"] {
        let flags = format!("--data data.jsonl --init-adapter {name}");
        let message = fail(&mut place.finetune(&flags), 1);
        assert!(message.contains("convert_lora_to_gguf.py"), "{message}");
    }
    foreign_adapter(&place.path("adapter.gguf"));
    let message = with_model(&place, "adapter.gguf");
    assert!(message.contains("a LoRA adapter, not a model"), "{message}");
}

#[test]
fn a_truncated_gguf_is_named() {
    let place = Place::with_data();
    let whole = std::fs::read(model()).unwrap();
    place.write("half.gguf", &whole[..whole.len() / 2]);
    let message = with_model(&place, "half.gguf");
    assert!(message.contains("half.gguf") && message.contains("truncated"), "{message}");
    place.write("head.gguf", &whole[..1000]);
    let message = with_model(&place, "head.gguf");
    assert!(message.contains("head.gguf"), "{message}");
}

#[test]
fn an_unsupported_architecture_is_named() {
    let place = Place::with_data();
    place.write("other.gguf", gguf(&[("general.architecture", "mamba")]));
    let message = with_model(&place, "other.gguf");
    assert!(message.contains("mamba"), "{message}");
    assert!(message.contains("llama"), "what is supported: {message}");
}

#[test]
fn a_model_without_a_tokenizer_is_named() {
    let place = Place::with_data();
    let mut bytes = std::fs::read(model()).unwrap();
    let key = b"tokenizer.ggml.model";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    bytes[at] = b'x';
    place.write("mute.gguf", bytes);
    let message = with_model(&place, "mute.gguf");
    assert!(message.contains("mute.gguf") && message.contains("tokenizer"), "{message}");
    // A tokenizer that is said to be none is none; without text a model computes all the same.
    let mut bytes = std::fs::read(model()).unwrap();
    bytes[at + key.len() + 12..][..4].copy_from_slice(b"none");
    place.write("mute.gguf", bytes);
    let message = with_model(&place, "mute.gguf");
    assert!(message.contains("the GGUF holds no tokenizer"), "{message}");
    succeed(&mut place.cutq(["plan", "mute.gguf", "--threads", "1", "--max-length", "16"]));
}

/// What `finetune` prints for other data.
fn with_data(content: impl AsRef<[u8]>, flags: &str) -> String {
    let place = Place::new();
    place.write("bad.jsonl", content);
    fail(&mut place.finetune(&format!("--data bad.jsonl {flags}")), 1)
}

#[test]
fn data_that_cannot_be_read_is_named_with_its_line() {
    let good = r#"{"instruction":"a","output":"b"}"#;
    let line = |second: &str| format!("{good}\n{second}\n");
    for (content, expected) in [
        (String::new(), "bad.jsonl holds no examples"),
        ("[]".to_owned(), "bad.jsonl holds no examples"),
        (line("{"), "bad.jsonl:2: not valid JSON"),
        (line("[1]"), "bad.jsonl:2: each example must be a JSON object"),
        (
            line(r#"{"title":"a","text":"b"}"#),
            "bad.jsonl:2: the fields fit no known format; found `title`, `text`",
        ),
        (line(r#"{"instruction":"a"}"#), "bad.jsonl:2: no field `output`"),
        (line(r#"{"instruction":"a","output":7}"#), "bad.jsonl:2: field `output` must be a string"),
    ] {
        let message = with_data(&content, "");
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
    let message = with_data(b"{\"instruction\":\"\xff\",\n\"output\":\"a\"}", "");
    assert!(message.contains("bad.jsonl:1:"), "{message}");
    let message = with_data([good.as_bytes(), b"\n{\"output\":\"\xff\"}"].concat(), "");
    assert!(message.contains("bad.jsonl:2: invalid UTF-8 at byte 12"), "{message}");
}

#[test]
fn missing_data_is_named() {
    let message = fail(&mut Place::new().finetune("--data none.jsonl"), 1);
    assert!(message.contains("none.jsonl"), "{message}");
}

#[test]
fn responses_that_do_not_fit_are_named_with_numbers() {
    let long = format!(r#"{{"instruction":"a","output":"{}"}}"#, "no ".repeat(9000));
    let message = with_data(&long, "--max-length 8192");
    assert!(message.contains("bad.jsonl:1: the response has 900"), "{message}");
    assert!(message.contains("--max-length is 8192"), "{message}");
    assert!(message.contains("--on-long drop"), "{message}");
    let short = r#"{"instruction":"a","output":"one two three four five"}"#;
    let message = with_data(short, "--max-length 4");
    assert!(message.contains("bad.jsonl:1:"), "{message}");
    assert!(message.contains("--max-length is 4"), "{message}");
    let message = with_data(short, "--max-length 4 --on-long drop");
    assert!(message.contains("all 1 examples are longer"), "{message}");
}

/// An adapter of one pair, whose width no model here has.
fn foreign_adapter(path: &Path) {
    let config = LoraConfig {
        r: 2,
        lora_alpha: 2.0,
        lora_dropout: 0.0,
        target_modules: vec![Projection::FfnUp],
    };
    let pair = LoraPair {
        layer: 0,
        projection: Projection::FfnUp,
        n_in: 7,
        n_out: 5,
        a: vec![0.1; 14],
        b: vec![0.1; 10],
    };
    let architecture = "llama".to_owned();
    Adapter { config, architecture, task: None, pairs: vec![pair] }.save_gguf(path).unwrap();
}

#[test]
fn an_adapter_for_another_model_is_refused() {
    let place = Place::with_data();
    foreign_adapter(&place.path("other.gguf"));
    let message = fail(&mut place.finetune("--data data.jsonl --init-adapter other.gguf"), 1);
    assert!(message.contains("other.gguf") && message.contains("another model"), "{message}");
    let adapter = ["--adapter", "other.gguf"];
    let mut inspect = place.with_model("inspect", &["--data", "data.jsonl"]);
    assert!(fail(inspect.args(adapter), 1).contains("another model"));
    let mut generate = place.with_model("generate", &["-p", "Hi"]);
    assert!(fail(generate.args(adapter), 1).contains("other.gguf"));
    let model = model();
    let flags = ["--data", "data.jsonl", "--init-adapter", model.to_str().unwrap()];
    let message = fail(&mut place.with_model("finetune", &flags), 1);
    assert!(message.contains("not a LoRA adapter"), "{message}");
}

#[test]
fn an_output_that_cannot_be_written_is_named_before_training() {
    let place = Place::with_data();
    place.write("file", "");
    let message = fail(&mut place.finetune("--data data.jsonl --out file/a.gguf"), 1);
    assert!(message.contains("file/a.gguf") && message.contains("is not a folder"), "{message}");
    assert!(!message.contains("data: "), "found before the data is read: {message}");
    std::fs::create_dir(place.path("folder")).unwrap();
    let message = fail(&mut place.finetune("--data data.jsonl --out folder"), 1);
    assert!(message.contains("it is a folder"), "{message}");
    let message = fail(&mut place.finetune("--data data.jsonl --run-dir file/run"), 1);
    assert!(message.contains("file/run"), "{message}");
    let message = fail(&mut place.finetune("--data data.jsonl --save-peft file/peft"), 1);
    assert!(message.contains("file/peft") && !message.contains("data: "), "{message}");
}

#[test]
#[cfg(unix)]
fn an_output_that_is_no_file_is_never_replaced() {
    let place = Place::with_data();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    std::os::unix::fs::symlink("socket", place.path("link")).unwrap();
    for out in ["socket", "link"] {
        let message = fail(&mut place.finetune(&format!("--data data.jsonl --out {out}")), 1);
        assert!(message.contains("it is no regular file"), "{message}");
        assert!(!place.path(out).is_file());
    }
}

#[test]
fn an_adapter_that_grew_without_bound_is_not_saved() {
    let place = Place::with_data();
    place.write("a.gguf", "the adapter of another run");
    let flags = "--data data.jsonl --out a.gguf --lr 1e39 --max-steps 1 --warmup-ratio 0";
    let message = fail(&mut place.finetune(flags), 1);
    assert!(message.contains(".lora_a") && message.contains("lower --lr"), "{message}");
    assert!(!message.contains("--resume"), "{message}");
    assert_eq!(place.read("a.gguf"), b"the adapter of another run");
}

#[test]
fn wrong_usage_has_status_2() {
    let place = Place::with_data();
    for (flags, expected) in [
        ("", "--data"),
        ("--data data.jsonl --lr 0", "--lr"),
        ("--data data.jsonl --warmup-ratio 2", "between 0 and 1"),
        ("--data data.jsonl --lora-dropout 1", "below 1"),
        ("--data data.jsonl --batch-size 0", "at least 1"),
        ("--data data.jsonl --objective dpo", "possible values"),
        ("--data data.jsonl --target-modules ffn_up,attn_x", "attn_x"),
        ("--data data.jsonl --objective mle --threshold 1.1", "--threshold has no meaning"),
        ("--data data.jsonl --objective mle --preset authors-code", "--preset authors-code"),
        ("--data data.jsonl --max-length 99999", "holds 8192"),
        ("--data data.jsonl --resume run", "cannot be used with --resume"),
        ("--data data.jsonl --out data.jsonl", "would overwrite an input"),
    ] {
        let message = fail(&mut place.finetune(flags), 2);
        assert!(message.contains(expected), "{flags}: {message} lacks {expected}");
    }
    for (command, flags, expected) in [
        ("inspect", &["--data", "data.jsonl", "--json", "--probs"][..], "--probs"),
        ("bench", &["--tokens", "99999"], "holds 8192"),
        ("generate", &["-p", "Hi", "--top-k", "5"], "--top-k has no meaning"),
        ("generate", &["-p", "Hi", "--compare"], "--adapter"),
    ] {
        let message = fail(&mut place.with_model(command, flags), 2);
        assert!(message.contains(expected), "{command} {flags:?}: {message} lacks {expected}");
    }
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let place = Place::new();
    let message = fail(&mut place.cutq(["finetune", "--resume", "."]), 1);
    assert!(message.contains("has no config.json"), "{message}");
}
