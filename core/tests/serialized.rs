//! The serialized forms that programs save: what they look like, and that they read back.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Debug;

use cutq_core::objective::{AnyObjective, Contrast, Cut, CutOptions, Hindsight, Mle, Unlikelihood};
use cutq_core::optimizer::{AdamW, Moments, Optimizer, Sgd};
use cutq_core::schedule::Schedule;
use cutq_core::trainer::{Evaluation, QuoteCounts, StepReport};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, from_value, json, to_value};

/// `value` is written as `form` and read back as itself.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, form: Value) {
    assert_eq!(to_value(&value).unwrap(), form);
    assert_eq!(from_value::<T>(form).unwrap(), value);
}

fn refused<T: DeserializeOwned + Debug>(form: Value) -> String {
    from_value::<T>(form).unwrap_err().to_string()
}

#[test]
fn an_objective_is_its_name_and_its_options() {
    let options = CutOptions { contrast: Contrast::HeaderMatched, ..CutOptions::AUTHORS_CODE };
    let form = json!({
        "objective": "cut",
        "threshold": 1.2,
        "weight_unlike": 0.5,
        "focal_gamma": 0.0,
        "weight_quoted": 2.0,
        "min_probability": 0.0,
        "log_ratio_margin": 0.0,
        "exclude_eos": false,
        "contrast": "header-matched",
        "spans": "contrast",
        "halve_judged": true,
    });
    check(AnyObjective::Cut(Cut::new(options).unwrap()), form);
    check(AnyObjective::Mle(Mle), json!({"objective": "mle"}));
    check(AnyObjective::Hindsight(Hindsight), json!({"objective": "hindsight"}));
    let unlikelihood = Unlikelihood::new(0.75).unwrap();
    let form = json!({"objective": "unlikelihood", "weight_unlike": 0.75});
    check(AnyObjective::Unlikelihood(unlikelihood), form);
}

#[test]
fn an_objective_that_cannot_be_is_not_read() {
    let cut = |name: &str, value: Value| {
        let mut form = to_value(AnyObjective::default()).unwrap();
        form[name] = value;
        refused::<AnyObjective>(form)
    };
    assert_eq!(cut("threshold", json!(0.0)), "threshold is 0, it must be finite and above 0");
    assert!(cut("treshold", json!(1.0)).starts_with("unknown field `treshold`"));
    assert!(cut("contrast", json!("praise")).contains("expected `plain` or `header-matched`"));
    let other = |form| refused::<AnyObjective>(form);
    other(json!({"objective": "mle", "threshold": 1.1}));
    let error = other(json!({"objective": "unlikelihood", "weight_unlike": -1.0}));
    assert_eq!(error, "weight_unlike is -1, it must be finite and at least 0");
    let error = other(json!({"objective": "unlikelihood"}));
    assert_eq!(error, "missing field `weight_unlike`");
    assert!(other(json!({"objective": "dpo"})).starts_with("unknown variant `dpo`"));
}

#[test]
fn an_optimizer_is_its_name_and_its_options() {
    let adamw = AdamW { weight_decay: 0.01, ..AdamW::default() };
    let form = json!({
        "optimizer": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01,
    });
    check(Optimizer::AdamW(adamw), form);
    let form = json!({"optimizer": "sgd", "weight_decay": 0.0});
    check(Optimizer::Sgd(Sgd::default()), form);
    let error = refused::<Optimizer>(json!({"optimizer": "sgd", "momentum": 0.9}));
    assert!(error.starts_with("unknown field `momentum`"), "{error}");
}

#[test]
fn a_schedule_is_its_name() {
    check(Schedule::Constant, json!("constant"));
    check(Schedule::Linear, json!("linear"));
    check(Schedule::Cosine, json!("cosine"));
}

/// A line of a log: what the trainer says and what the program adds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    epoch: f64,
    #[serde(flatten)]
    report: StepReport,
    seconds: f64,
}

#[test]
fn a_report_is_part_of_a_line() {
    let report = StepReport {
        step: 1,
        loss: 0.1 + 0.2,
        l1: 0.25,
        l2: 1e-300,
        judged_nll: None,
        inappropriate: 3,
        judged_tokens: 12,
        quotes: Some(QuoteCounts { tokens: 12, quoted: 2, raised: 3, hits: 1 }),
        tokens: 60,
        target_tokens: 20,
        lr: 4e-4,
        grad_norm: 1.0 / 3.0,
    };
    assert_eq!(report.inappropriate_share(), Some(0.25));
    let line = Line { epoch: 0.5, report, seconds: 2.0 };
    let text = serde_json::to_string(&line).unwrap();
    assert!(text.starts_with(r#"{"epoch":0.5,"step":1,"loss":0.30000000000000004,"#), "{text}");
    assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "every bit comes back");
}

#[test]
fn an_evaluation_and_moments_read_back() {
    let evaluation = Evaluation {
        loss: 2.0,
        l1: 0.0,
        l2: 2.0,
        judged_nll: None,
        inappropriate: 0,
        judged_tokens: 0,
        quotes: None,
        tokens: 9,
        target_tokens: 4,
        examples: 1,
    };
    assert_eq!(evaluation.inappropriate_share(), None);
    let form = json!({
        "loss": 2.0, "l1": 0.0, "l2": 2.0, "judged_nll": null, "inappropriate": 0,
        "judged_tokens": 0, "quotes": null, "tokens": 9, "target_tokens": 4, "examples": 1,
    });
    check(evaluation, form);
    let moments = Moments { name: "w".to_owned(), m: vec![0.5_f32], v: vec![0.25] };
    check(moments, json!({"name": "w", "m": [0.5], "v": [0.25]}));
}
