//! What can compute, and what cannot.

use crate::place::{Place, fail, succeed};

#[test]
fn devices_are_there_or_missing_for_a_reason() {
    let output = succeed(&mut Place::new().cutq(["devices", "--json"]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let devices = report["devices"].as_array().unwrap();
    let cpu = devices.iter().find(|device| device["name"] == "CPU").unwrap();
    assert!(cpu["memory_total_bytes"].as_u64().unwrap() > 0);
    let missing = report["missing"].as_array().unwrap();
    assert!(devices.len() - 1 + missing.len() >= 3);
    assert!(missing.iter().all(|kind| !kind["reason"].as_str().unwrap().is_empty()));

    let table = String::from_utf8(succeed(&mut Place::new().cutq(["devices"])).stdout).unwrap();
    assert!(table.starts_with("CPU ") || table.contains("\nCPU "), "{table}");
}

#[test]
fn an_unknown_device_is_an_error_that_lists_the_known() {
    let place = Place::with_data();
    let message = fail(&mut place.finetune("--data data.jsonl --device Warp9"), 1);
    assert!(message.contains("\"Warp9\"") && message.contains("CPU"), "{message}");
    assert!(message.contains("hint: `cutq devices`"), "{message}");
}

#[test]
fn a_kind_of_device_that_is_missing_is_refused_with_its_reason() {
    let devices = succeed(&mut Place::new().cutq(["devices", "--json"])).stdout;
    let report: serde_json::Value = serde_json::from_slice(&devices).unwrap();
    for kind in report["missing"].as_array().unwrap() {
        let [name, reason] = ["backend", "reason"].map(|key| kind[key].as_str().unwrap());
        let place = Place::with_data();
        let flags = format!("--data data.jsonl --device {}", name.to_lowercase());
        let message = fail(&mut place.finetune(&flags), 1);
        assert!(message.starts_with(&format!("error: there is no {name} device: ")), "{message}");
        assert!(message.contains(reason), "{message}");
    }
}
