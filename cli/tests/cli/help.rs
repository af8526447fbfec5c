//! The help texts as snapshots: a change of the command line shows in review.
//!
//! `CUTQ_UPDATE_SNAPSHOTS=1 cargo test --release -p cutq help` rewrites them.

use std::path::Path;

use crate::place::{Place, succeed};

fn check(name: &str, args: &[&str]) {
    let output = succeed(&mut Place::new().cutq(args));
    let found = String::from_utf8(output.stdout).unwrap();
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/help/{name}.txt"));
    if std::env::var_os("CUTQ_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&snapshot, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&snapshot).unwrap();
    assert_eq!(found, expected, "{name}: see this file's head if the change is meant");
}

#[test]
fn help_texts_are_as_reviewed() {
    check("cutq", &["--help"]);
    for command in [
        "finetune", "align", "data", "generate", "judge", "inspect", "plan", "bench", "devices",
        "models",
    ] {
        check(command, &[command, "--help"]);
    }
}
