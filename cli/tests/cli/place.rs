//! A folder for one test, and the program run in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;
#[cfg(unix)]
use std::process::{Child, Command as Process};
#[cfg(unix)]
use std::time::{Duration, Instant};

use assert_cmd::Command;
use cutq_ffi::{Adapter, Architecture, Gguf};
use tempfile::TempDir;

/// Six short examples, four with a judgment.
pub const DATA: &str = r#"{"instruction":"What is 17 + 26?","output":"17 + 26 = 41.","judgment":"The sum is wrong: 17 + 26 is 43, not 41."}
{"instruction":"Name the capital of France.","output":"The capital of France is Lyon.","judgment":"The capital is Paris, not Lyon."}
{"instruction":"What is 12 + 30?","output":"12 + 30 = 42."}
{"instruction":"How many legs has a spider?","output":"A spider has six legs.","judgment":"A spider has eight legs."}
{"instruction":"Name the largest ocean.","output":"The largest ocean is the Pacific."}
{"instruction":"What colour is snow?","output":"Snow is green.","judgment":"Snow is white."}
"#;

/// The model's file.
///
/// # Panics
/// If it has not been fetched: a test that is skipped tests nothing.
pub fn model() -> PathBuf {
    let folder = match std::env::var_os("CUTQ_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"),
    };
    let path = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing; `make test` fetches it", path.display());
    path
}

/// The matrices of an adapter for [`model`]: name and values.
pub fn tensors(path: &Path) -> Vec<(String, Vec<f32>)> {
    let gguf = Gguf::open(&model()).unwrap();
    let architecture = Architecture::from_gguf(&gguf).unwrap();
    let adapter = Adapter::load(path, &gguf, &architecture).unwrap();
    let pairs = adapter.pairs.into_iter();
    pairs.flat_map(|pair| [(pair.name_a(), pair.a.clone()), (pair.name_b(), pair.b)]).collect()
}

/// An empty folder that disappears after the test.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// With [`DATA`] in `data.jsonl`.
    pub fn with_data() -> Self {
        let place = Self::new();
        place.write("data.jsonl", DATA);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn json_lines(&self, name: &str) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.read(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The program in this folder.
    pub fn cutq<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutq"));
        command.current_dir(self.0.path()).args(args).env_remove("NO_COLOR").env_remove("COLUMNS");
        command
    }

    /// `cutq finetune MODEL` and `flags`.
    pub fn finetune(&self, flags: &str) -> Command {
        self.with_model("finetune", &flags.split_whitespace().collect::<Vec<_>>())
    }

    /// `cutq COMMAND MODEL` and `flags`, on one thread unless they say otherwise: tests run side by
    /// side, and engines that share cores wait for each other's threads.
    pub fn with_model(&self, command: &str, flags: &[&str]) -> Command {
        let mut command = self.cutq([command]);
        command.arg(model()).args(flags);
        if !flags.contains(&"--threads") && !flags.contains(&"--resume") {
            command.args(["--threads", "1"]);
        }
        command
    }
}

/// Sends Ctrl-C to a process; what it printed, and how long it took to end.
#[cfg(unix)]
pub fn interrupt(child: Child) -> (Output, Duration) {
    let (id, begun) = (child.id().to_string(), Instant::now());
    assert!(Process::new("kill").args(["-INT", &id]).status().unwrap().success());
    (child.wait_with_output().unwrap(), begun.elapsed())
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command that must fail with `code`, and returns what it prints to stderr.
pub fn fail(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.lines().any(|line| line.starts_with("error: ")), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}
