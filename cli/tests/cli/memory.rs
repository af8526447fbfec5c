//! The memory plan keeps its promises.

use std::process::Command;

use serde_json::Value;

use crate::place::{Place, fail, model, succeed};

const MIB: f64 = 1_048_576.0;

/// A short step, whose parts still matter beside the program.
const STEP: [&str; 4] = ["--repetitions=1", "--json", "--micro-batch=512", "--tokens"];

/// The figures of `cutq bench` on the file `name` of the models' folder.
fn bench(name: &str, tokens: &str, flags: &[&str]) -> Value {
    let (place, path) = (Place::new(), model().with_file_name(name));
    let mut command = place.cutq(["bench", "--threads=1"]);
    let output = succeed(command.arg(path).args(STEP).arg(tokens).args(flags));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(figures: &Value, key: &str) -> f64 {
    key.split('.').fold(figures, |value, key| &value[key]).as_f64().unwrap()
}

/// Within 10 % of the measured peak, which stays within the budget; the same losses whatever it is.
fn keeps_to(name: &str, budgets: [&str; 3]) {
    let mut losses = Vec::new();
    let (mut products, mut panels) = (Vec::new(), Vec::new());
    for budget in budgets {
        let figures = bench(name, "256", &["--memory", budget]);
        let [planned, peak] =
            ["plan.peak_bytes", "peak_rss_bytes"].map(|key| number(&figures, key));
        let bytes = budget.strip_suffix("MiB").unwrap().parse::<f64>().unwrap() * MIB;
        println!("{name}, {budget}: {:.0} MiB planned, {:.0} measured", planned / MIB, peak / MIB);
        assert!((0.9..1.1).contains(&(planned / peak)), "{budget}: {figures}");
        assert!(planned <= bytes && peak <= bytes, "{budget}: {figures}");
        losses.push([number(&figures, "loss_first"), number(&figures, "loss_last")]);
        products.push(number(&figures, "plan.product_layers"));
        panels.push(number(&figures, "plan.panel_layers"));
    }
    assert!(losses.iter().all(|found| *found == losses[0]), "{losses:?}");
    assert!(products[0] < products[1] && products[1] <= products[2], "{products:?}");
    assert!(panels[0] == 0.0 && panels[2] > 0.0, "{panels:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn smollm2_takes_what_was_planned() {
    keeps_to("SmolLM2-135M-Instruct.Q4_1.gguf", ["200MiB", "320MiB", "700MiB"]);
}

#[test]
#[cfg(target_os = "linux")]
fn gemma_takes_what_was_planned() {
    keeps_to("gemma-3-270m-Q4_K_M.gguf", ["320MiB", "500MiB", "900MiB"]);
}

#[test]
#[ignore = "the 1.1 GB model: make test-models"]
#[cfg(target_os = "linux")]
fn qwen_takes_what_was_planned() {
    keeps_to("Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf", ["750MiB", "1600MiB", "3000MiB"]);
}

/// The kernel refuses the process more memory of its own than the plan says.
#[test]
#[cfg(target_os = "linux")]
fn a_run_completes_under_a_hard_limit_of_its_plan() {
    for budget in ["200MiB", "320MiB"] {
        let figures = bench("SmolLM2-135M-Instruct.Q4_1.gguf", "256", &["--memory", budget]);
        let own = number(&figures, "plan.peak_bytes") - number(&figures, "plan.weight_bytes");
        let limited = |kib: f64| {
            // Stacks count as soon as they are reserved, so they are made small.
            let limits = format!("ulimit -s 1024 && ulimit -d {kib:.0} && exec \"$0\" \"$@\"");
            let mut command = Command::new("bash");
            command.args(["-c", &limits, env!("CARGO_BIN_EXE_cutq"), "bench"]).arg(model());
            command
                .args(["--threads=1", "--memory", budget])
                .args(STEP)
                .arg("256")
                .output()
                .unwrap()
        };
        let within = limited(own / 1024.0);
        assert!(within.status.success(), "{}", String::from_utf8_lossy(&within.stderr));
        // The limit does limit: with less than the plan's largest parts the run cannot complete.
        assert!(!limited(own / 2048.0).status.success(), "{budget}");
    }
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_one_that_would_do() {
    let place = Place::with_data();
    let flags = "--data data.jsonl --max-steps 1 --out a.gguf --run-dir run";
    let stderr = fail(&mut place.finetune(&format!("{flags} --memory 20MiB")), 2);
    assert!(!place.path("run").exists());
    let hint = stderr.split("--memory ").last().unwrap().split_whitespace().next().unwrap();
    succeed(&mut place.finetune(&format!("{flags} --memory {hint}")));
    for bad in ["0", "much", "-3GiB"] {
        let stderr = fail(&mut place.finetune(&format!("{flags} --memory={bad}")), 2);
        assert!(stderr.contains("--memory"), "{stderr}");
    }
}

#[test]
fn plan_estimates_what_bench_then_finds() {
    let place = Place::new();
    let flags = ["--max-length", "512", "--contexts", "1", "--micro-batch", "512", "--json"];
    let bench_flags = ["--batch", "1", "--memory", "320MiB"];
    let both = || {
        let output = succeed(place.with_model("plan", &flags).args(["--memory", "320MiB"]));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        (plan, bench("SmolLM2-135M-Instruct.Q4_1.gguf", "512", &bench_flags))
    };
    // What the program itself takes differs by a few pages between processes, now and then by a step
    // of its rounding, and what is left for the rest with it.
    let program = |figures: &Value| number(figures, "program_bytes");
    let mut pairs = (0..8).map(|_| both());
    let (plan, found) =
        pairs.find(|(plan, found)| program(plan) == program(&found["plan"])).unwrap();
    let parts = [
        "program",
        "adapter",
        "optimizer",
        "checkpoint",
        "activation",
        "product",
        "panel",
        "scratch",
    ];
    let parts = parts.iter().chain(&["weight"]).map(|part| number(&plan, &format!("{part}_bytes")));
    assert_eq!(parts.sum::<f64>(), number(&plan, "peak_bytes"));
    for key in
        ["micro_batch", "product_layers", "panel_layers", "checkpoint_bytes", "activation_bytes"]
    {
        assert_eq!(plan[key], found["plan"][key], "{key}");
    }
    // Other programs run beside the tests: only the order of magnitude can be checked here.
    let ratio = number(&plan, "train_tok_per_s") / number(&found, "train_tok_per_s");
    assert!((0.2..5.0).contains(&ratio), "{plan} {found}");

    let table = succeed(place.with_model("plan", &["--max-length", "64"]).arg("--r=8"));
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("peak") && table.contains("tok/s"), "{table}");
}
