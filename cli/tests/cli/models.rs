//! `cutq models`.

use crate::place::{Place, succeed};

#[test]
fn families_are_known_or_refused_for_a_reason() {
    let output = succeed(&mut Place::new().cutq(["models", "--json"]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let families = report["families"].as_array().unwrap();
    let of = |name: &str| families.iter().find(|family| family["architecture"] == name).unwrap();
    assert_eq!(of("qwen3")["models"], "Qwen3");
    assert_eq!(of("llama")["checked_on"][1], "SmolLM2 135M");
    let refused = report["refused"].as_array().unwrap();
    for (name, missing) in [("deepseek2", "latent attention"), ("gpt2", "LayerNorm")] {
        let has = |group: &&serde_json::Value| {
            group["architectures"].as_array().unwrap().iter().any(|one| one == name)
        };
        assert_eq!(refused.iter().find(has).unwrap()["missing"], missing);
        assert!(families.iter().all(|family| family["architecture"] != name));
    }

    let table = String::from_utf8(succeed(&mut Place::new().cutq(["models"])).stdout).unwrap();
    assert!(table.contains("  qwen3          Qwen3 (a tiny model)\n"), "{table}");
}
