//! `CUTQ_SIMD`, from the environment to the figures of a training step.

use crate::place::{Place, fail};

/// The losses of a short training with the kernels of a level, none if this CPU has not got it.
fn losses(level: &str) -> Option<[f64; 2]> {
    let place = Place::new();
    let flags = ["--tokens", "16", "--batch", "1", "--repetitions", "1", "--json"];
    let mut command = place.with_model("bench", &flags);
    let output = command.env("CUTQ_SIMD", level).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && stderr.contains("the highest level of this CPU") {
        eprintln!("level {level} is missing on this CPU and was not tested");
        return None;
    }
    assert!(output.status.success(), "{stderr}");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["simd"], level);
    Some(["loss_first", "loss_last"].map(|key| figures[key].as_f64().unwrap()))
}

#[test]
fn training_is_the_same_at_every_level() {
    let plain = losses("plain").expect("the plain level always exists");
    assert_ne!(plain[0], plain[1]);
    for level in ["neon", "avx2", "avx-vnni", "avx512"] {
        if let Some(found) = losses(level) {
            assert_eq!(found, plain, "{level}");
        }
    }
}

#[test]
fn an_unknown_level_is_refused() {
    let place = Place::new();
    let message = fail(place.with_model("bench", &[]).env("CUTQ_SIMD", "sse9"), 1);
    assert!(message.contains("CUTQ_SIMD=\"sse9\" is not one of plain, neon, avx2"), "{message}");
}
