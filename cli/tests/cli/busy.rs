//! Beside another program that never rests, and with threads that share a core.

use std::process::{Child, Command};

use crate::place::{Place, succeed};

/// A program that keeps a core busy until it is dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        Self(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The adapter of a short run with this number of threads.
fn adapter(threads: usize) -> Vec<u8> {
    let place = Place::with_data();
    let flags = "--data data.jsonl --max-steps 2 --seed 7 --out a.gguf --run-dir run";
    succeed(&mut place.finetune(&format!("{flags} --threads {threads}")));
    place.read("a.gguf")
}

#[test]
fn training_gives_the_same_bits_whatever_else_runs() {
    let alone = adapter(1);
    let _busy = Busy::start();
    for threads in [2, 3] {
        assert!(adapter(threads) == alone, "{threads} threads");
    }
}

#[test]
fn an_answer_is_the_same_whatever_else_runs() {
    let place = Place::new();
    let answer = |threads: &str| {
        let prompt = [
            "--prompt",
            "Name five rivers.",
            "--n-predict",
            "40",
            "--temperature",
            "0.8",
            "--seed",
            "7",
        ];
        let mut command =
            place.with_model("generate", &[&prompt[..], &["--threads", threads]].concat());
        succeed(&mut command).stdout
    };
    let alone = answer("1");
    let _busy = Busy::start();
    // Where threads wait for each other, there are soon fewer of them.
    assert_eq!(answer("2"), alone);
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_says_that_the_machine_is_busy() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let place = Place::with_data();
    let flags = format!("--data data.jsonl --max-steps 2 --threads {cores} --out");
    let _busy: Vec<_> = (0..4 * cores).map(|_| Busy::start()).collect();
    let run = succeed(&mut place.finetune(&format!("{flags} a.gguf --run-dir a")));
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert!(stderr.contains("machine busy: "), "{stderr}");
}

#[test]
fn more_threads_than_cores_are_noted() {
    let place = Place::new();
    let plan = succeed(&mut place.with_model("plan", &["--max-length", "64", "--threads", "99"]));
    let stderr = String::from_utf8(plan.stderr).unwrap();
    assert!(stderr.contains("99 threads share"), "{stderr}");
}
