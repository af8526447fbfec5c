//! `cutq finetune` from data to adapter.

use crate::place::{Place, fail, succeed, tensors};

const CHEAP: &str = "--data data.jsonl --out a.gguf --run-dir run --batch-size 2 --r 4";

#[test]
fn a_run_leaves_adapter_log_curves_and_summary() {
    let place = Place::with_data();
    let flags = format!("{CHEAP} --epochs 2 --eval-split 0.2 --save-peft peft");
    let output = succeed(&mut place.finetune(&flags));
    let stderr = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "data: 6 examples read",
        "4 negatives and 2 positives",
        "step 1/6",
        "step 6/6",
        "held out (1 examples)",
        "llama-cli -m",
    ] {
        assert!(stderr.contains(expected), "{stderr} lacks {expected}");
    }
    assert!(output.stdout.is_empty(), "stdout is for data");

    let log = place.json_lines("run/log.jsonl");
    assert_eq!(log.len(), 6, "5 examples by 2 are 3 steps, twice");
    for (line, step) in log.iter().zip(1..) {
        assert_eq!(line["step"], step);
        assert!(line["loss"].as_f64().unwrap().is_finite());
        assert!(line["tokens"].as_u64().unwrap() > line["target_tokens"].as_u64().unwrap());
    }
    let loss = |line: &serde_json::Value| line["loss"].as_f64().unwrap();
    let epoch = |from: usize| log[from..from + 3].iter().map(loss).sum::<f64>();
    assert!(epoch(3) < epoch(0), "the second epoch is easier: {log:?}");

    assert!(tensors(&place.path("a.gguf")).iter().all(|(name, values)| {
        assert!(values.iter().any(|&v| v != 0.0), "{name} is all zeros");
        values.iter().all(|v| v.is_finite())
    }));
    let summary = &place.read("run/summary.json");
    let summary: serde_json::Value = serde_json::from_slice(summary).unwrap();
    assert_eq!(summary["steps"], 6);
    assert_eq!(summary["eval_before"]["examples"], 1);
    let names: Vec<_> = std::fs::read_dir(place.path("run")).unwrap().collect();
    let events = names.iter().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("events.out.tfevents.")
    });
    assert_eq!(events.count(), 1);
    assert!(place.path("peft/adapter_model.safetensors").exists());
    assert!(place.path("peft/adapter_config.json").exists());
}

#[test]
fn a_run_says_whether_the_model_reads_what_its_judges_quote() {
    let place = Place::new();
    let quoting = r#"{"instruction":"What colour is snow?","output":"Snow is green.","judgment":"Not \"green\"."}"#;
    let other = r#"{"instruction":"What colour is coal?","output":"Coal is white.","judgment":"It is black."}"#;
    place.write("data.jsonl", format!("{quoting}\n{other}"));
    let flags = CHEAP.replace("--batch-size 2", "--batch-size 1");
    let output = succeed(&mut place.finetune(&flags));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let (before, after) = stderr.split_once("step 1/2").expect("two steps");
    for part in [before, after] {
        assert!(part.contains(" of 1 quoted tokens (recall "), "{stderr}");
    }
    let log = place.json_lines("run/log.jsonl");
    let (with, without): (Vec<_>, Vec<_>) =
        log.iter().map(|line| &line["quotes"]).partition(|quotes| !quotes.is_null());
    assert_eq!((with.len(), without.len()), (1, 1), "{log:?}");
    assert_eq!((&with[0]["quoted"], &with[0]["tokens"]), (&1.into(), &5.into()));
    let summary: serde_json::Value =
        serde_json::from_slice(&place.read("run/summary.json")).unwrap();
    assert_eq!(&summary["quotes"], with[0]);
}

#[test]
fn quiet_is_quiet_and_bad_lines_are_listed() {
    let place = Place::new();
    let lines = "{\"instruction\":\"Say hi.\",\"output\":\"Hi.\"}\n{\"instruction\":\"x\"}\n";
    place.write("data.jsonl", lines);
    let output = succeed(&mut place.finetune(&format!("{CHEAP} --skip-bad-lines --quiet")));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("skipped: "), "{stderr}");
    assert!(stderr.contains("data.jsonl:2: no field `output`"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn the_same_seed_gives_the_same_adapter_and_another_one_does_not() {
    let place = Place::with_data();
    let run = |out: &str, seed: &str| {
        let flags = format!("--data data.jsonl --out {out} --run-dir run-{out} --seed {seed}");
        succeed(
            &mut place.finetune(&format!("{flags} --batch-size 2 --r 4 --max-steps 2 --quiet")),
        );
        place.read(out)
    };
    let first = run("a.gguf", "1");
    assert!(first == run("b.gguf", "1"), "the same bytes");
    assert!(first != run("c.gguf", "2"), "other bytes");
}

/// `--optimizer sgd --lr 1` without anything else is minus the gradient.
const GRADIENT: &str = "--data data.jsonl --optimizer sgd --schedule constant --warmup-ratio 0 \
    --max-grad-norm 0 --lora-dropout 0 --max-steps 1 --batch-size 100 --precision f32";

/// An adapter with all matrices filled, to take gradients at.
fn filled_adapter(place: &Place) {
    let flags = "--data data.jsonl --out start.gguf --run-dir start --r 4 --target-modules all";
    succeed(&mut place.finetune(&format!("{flags} --batch-size 3 --max-steps 2 --quiet")));
}

fn difference(place: &Place, before: &str, after: &str) -> Vec<Vec<f64>> {
    let (before, after) = (tensors(&place.path(before)), tensors(&place.path(after)));
    assert_eq!(before.len(), after.len());
    let pairs = before.iter().zip(&after);
    pairs
        .map(|((name, before), (other, after))| {
            assert_eq!(name, other);
            before.iter().zip(after).map(|(b, a)| f64::from(*b) - f64::from(*a)).collect()
        })
        .collect()
}

fn norm(values: &[Vec<f64>]) -> f64 {
    values.iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// Mean over examples of the loss that `cutq inspect` prints.
fn loss(place: &Place, adapter: &str, objective: &str) -> f64 {
    let flags = ["--data", "data.jsonl", "--json", "--precision", "f32"];
    let mut command = place.with_model("inspect", &flags);
    let output = succeed(command.args(["--adapter", adapter, "--objective", objective]));
    let text = String::from_utf8(output.stdout).unwrap();
    let losses: Vec<f64> = text
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["loss"].as_f64().unwrap()
        })
        .collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[test]
fn a_step_of_plain_descent_is_minus_the_gradient() {
    let place = Place::with_data();
    filled_adapter(&place);
    let run = |out: &str, flags: &str| {
        let paths = format!("--init-adapter start.gguf --out {out} --run-dir run-{out} --quiet");
        succeed(&mut place.finetune(&format!("{GRADIENT} {paths} {flags}")));
        place.json_lines(&format!("run-{out}/log.jsonl")).remove(0)
    };
    // CUT: the change of the adapter is as long as the gradient, and the loss logged is the mean of
    // the examples' losses.
    let step = run("cut.gguf", "--lr 1");
    let change = norm(&difference(&place, "start.gguf", "cut.gguf"));
    let logged = step["grad_norm"].as_f64().unwrap();
    assert!((change / logged - 1.0).abs() < 1e-4, "{change} is not {logged}");
    let (logged, mean) = (step["loss"].as_f64().unwrap(), loss(&place, "start.gguf", "cut"));
    assert!((logged / mean - 1.0).abs() < 1e-5, "{logged} is not {mean}");

    // MLE has no constants in its loss, so its slope along the change is minus the gradient's
    // squared norm: d/dh L(w − h g) = −|g|².
    run("mle.gguf", "--lr 1 --objective mle");
    let gradient = norm(&difference(&place, "start.gguf", "mle.gguf"));
    let h = 0.01 / gradient;
    run("ahead.gguf", &format!("--lr {h} --objective mle"));
    let slope = (loss(&place, "ahead.gguf", "mle") - loss(&place, "start.gguf", "mle")) / h;
    let expected = -gradient * gradient;
    assert!((slope / expected - 1.0).abs() < 0.03, "{slope} is not {expected}");
}

#[test]
fn flags_beside_an_initial_adapter_may_not_change_it() {
    let place = Place::with_data();
    filled_adapter(&place);
    let flags = "--data data.jsonl --init-adapter start.gguf --out b.gguf";
    let message = fail(&mut place.finetune(&format!("{flags} --r 8")), 2);
    assert!(message.contains("--r 8 contradicts --init-adapter"), "{message}");
    let message = fail(&mut place.finetune(&format!("{flags} --lora-alpha 32")), 2);
    assert!(message.contains("--lora-alpha 32 contradicts"), "{message}");
    let message = fail(&mut place.finetune(&format!("{flags} --target-modules ffn_up")), 2);
    assert!(message.contains("--target-modules ffn_up contradicts"), "{message}");
    let message = fail(&mut place.finetune(&format!("{flags} --out start.gguf")), 2);
    assert!(message.contains("--out"), "{message}");
}
