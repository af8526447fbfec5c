//! Runs that are ended and resumed, bit for bit as if they had not been.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::place::{Place, fail, model, succeed};

/// Five steps that use all that is random, each saved.
const RUN: &str = "--data data.jsonl --batch-size 2 --r 4 --max-steps 5 --save-every 1 --quiet";

/// The adapter of the run that nobody ends.
fn uninterrupted(place: &Place, threads: u32) -> Vec<u8> {
    let flags = format!("{RUN} --out whole.gguf --run-dir whole --threads {threads}");
    succeed(&mut place.finetune(&flags));
    place.read("whole.gguf")
}

/// The run `cut` in the background.
fn start(place: &Place, threads: u32) -> Child {
    start_with(place, threads, &[])
}

/// [`start`] with more flags.
fn start_with(place: &Place, threads: u32, flags: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_cutq"))
        .current_dir(place.path(""))
        .arg("finetune")
        .arg(model())
        .args(RUN.split_whitespace())
        .args(["--out", "cut.gguf", "--run-dir", "cut", "--threads", &threads.to_string()])
        .args(flags)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the run has done `steps` steps.
fn wait_for_steps(place: &Place, steps: usize) {
    let started = Instant::now();
    let log = place.path("cut/log.jsonl");
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < steps {
        assert!(started.elapsed() < Duration::from_secs(120), "no {steps} steps in two minutes");
        sleep(Duration::from_millis(2));
    }
}

/// Resumes `cut` and compares.
fn resume_and_compare(place: &Place, whole: &[u8]) {
    succeed(&mut place.cutq(["finetune", "--resume", "cut", "--quiet"]));
    assert!(place.read("cut.gguf") == whole, "the adapter differs from the uninterrupted run's");
    let steps = |run: &str| -> Vec<_> {
        let lines = place.json_lines(&format!("{run}/log.jsonl"));
        lines.iter().map(|line| (line["step"].clone(), line["loss"].clone())).collect()
    };
    assert_eq!(steps("cut"), steps("whole"));
    assert!(place.path("cut/summary.json").exists());
}

#[test]
fn a_killed_run_resumes() {
    let place = Place::with_data();
    // Two threads share sums in an order that must not depend on which is faster.
    let whole = uninterrupted(&place, 2);
    let mut child = start(&place, 2);
    wait_for_steps(&place, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("cut.gguf").exists(), "killed before its end");
    resume_and_compare(&place, &whole);
    // Once more: nothing is left to do, and nothing changes.
    resume_and_compare(&place, &whole);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_resume() {
    let place = Place::with_data();
    let whole = uninterrupted(&place, 1);
    let child = start(&place, 1);
    wait_for_steps(&place, 1);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("cutq finetune --resume cut"), "{stderr}");
    assert!(!place.path("cut.gguf").exists());
    resume_and_compare(&place, &whole);
}

/// What a lost device does to the process: ggml and drivers abort.
#[cfg(unix)]
#[test]
fn an_abort_in_the_middle_of_a_step_says_how_to_resume() {
    let place = Place::with_data();
    let whole = uninterrupted(&place, 1);
    let child = start(&place, 1);
    wait_for_steps(&place, 2);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-ABRT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: the computation cannot go on"), "{stderr}");
    assert!(stderr.contains("cutq finetune --resume cut"), "{stderr}");
    resume_and_compare(&place, &whole);
}

/// The optimizer's state is a part of the plan once, whether it is loaded or still to come.
#[test]
fn a_run_resumes_within_the_smallest_budget_it_began_with() {
    let place = Place::with_data();
    let refused = fail(&mut place.finetune(&format!("{RUN} --memory 20MiB --threads 1")), 2);
    let budget = refused.split("--memory ").last().unwrap().split_whitespace().next().unwrap();
    // The program itself takes a little more or less from run to run.
    let mib: u64 = budget.strip_suffix("MiB").unwrap().parse().unwrap();
    let budget = format!("--memory={}MiB", mib + 4);
    let flags = format!("{RUN} --out whole.gguf --run-dir whole --threads 1 {budget}");
    succeed(&mut place.finetune(&flags));
    let whole = place.read("whole.gguf");
    let mut child = start_with(&place, 1, &[&budget]);
    wait_for_steps(&place, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    resume_and_compare(&place, &whole);
}

/// Files cannot grow beyond 64 KiB: as good as a full disk, and needs no disk.
#[cfg(unix)]
#[test]
fn a_full_disk_keeps_the_previous_checkpoint() {
    let place = Place::with_data();
    let whole = uninterrupted(&place, 1);
    let mut child = start(&place, 1);
    wait_for_steps(&place, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = place.read("cut/checkpoint/state.json");
    // Without the trap the system would end the process instead of failing the write.
    let script = r#"trap '' XFSZ; ulimit -f 64; exec "$0" finetune --resume cut --quiet"#;
    let mut limited = assert_cmd::Command::new("bash");
    limited.current_dir(place.path("")).args(["-c", script, env!("CARGO_BIN_EXE_cutq")]);
    let message = fail(&mut limited, 1);
    assert!(message.contains("adapter.gguf"), "{message}");
    assert!(message.contains("File too large"), "{message}");
    assert!(message.contains("--resume"), "{message}");
    assert_eq!(place.read("cut/checkpoint/state.json"), before);
    resume_and_compare(&place, &whole);
}

#[test]
fn changed_inputs_and_running_runs_are_refused() {
    let place = Place::with_data();
    let mut child = start(&place, 1);
    wait_for_steps(&place, 1);
    let message = fail(&mut place.cutq(["finetune", "--resume", "cut"]), 1);
    assert!(message.contains("another process"), "{message}");
    child.kill().unwrap();
    child.wait().unwrap();
    place.write("data.jsonl", "{\"instruction\":\"a\",\"output\":\"b\"}\n");
    let message = fail(&mut place.cutq(["finetune", "--resume", "cut"]), 1);
    assert!(message.contains("data.jsonl has changed since the run began"), "{message}");
    let message = fail(&mut place.finetune("--data data.jsonl --run-dir cut"), 1);
    assert!(message.contains("already holds a run"), "{message}");
}
