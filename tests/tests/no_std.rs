//! Builds and runs a program that links core without std and without libc.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `tests/no_std`; returns the program.
fn build(args: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no_std");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("no_std/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("release/cutq-no-std")
}

/// Runs the program, and checks that it is one file that needs no other.
fn run(program: &Path) {
    let status = Command::new(program).status().unwrap();
    assert_eq!(status.code(), Some(0), "1 = a wrong value, 2 = a panic");
    // A program that loads a C library names the loader that finds it.
    let bytes = std::fs::read(program).unwrap();
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(!holds(b"ld-linux") && !holds(b"libc.so"));
}

#[test]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    ignore = "the program speaks to an x86-64 Linux kernel"
)]
fn core_runs_without_std_or_libc_with_a_heap_and_without() {
    run(&build(&[]));
    run(&build(&["--no-default-features"]));
}
