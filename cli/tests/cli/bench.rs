//! `cutq bench`.

use crate::place::{Place, succeed};

#[test]
fn bench_prints_figures_that_hang_together() {
    let place = Place::new();
    let flags = ["--tokens", "64", "--batch", "1", "--repetitions", "1", "--json"];
    let output = succeed(&mut place.with_model("bench", &flags));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| figures[key].as_f64().unwrap();
    assert!(number("train_tok_per_s") > 1.0);
    assert!(number("read_tok_per_s") > number("train_tok_per_s"));
    assert!(number("loss_last") < number("loss_first"));
    if cfg!(target_os = "linux") {
        assert!(number("peak_rss_bytes") > number("anonymous_bytes"));
    }
}
