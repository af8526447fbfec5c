"""The programs that are measured."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from cases import MADE, MODELS, N_PARALLEL, N_SAMPLED, REPO, SMOL

CUTQ = REPO / "target/release/cutq"
SYNTHETIC = REPO / "target/release/synthetic"
PEERS = REPO / "target/peers"
LLAMA = pathlib.Path(os.environ.get("CUTQ_LLAMA") or PEERS / "llama/bin")
LLAMA_AVX2 = pathlib.Path(os.environ.get("CUTQ_LLAMA_AVX2") or PEERS / "llama-avx2/bin")
TORCH = os.environ.get("CUTQ_TORCH") or str(PEERS / "torch/bin/python")

# Tokens that are generated where that is measured.
N_GEN = 64


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def call(command, **variables):
    """stdout of a command, and the most memory that it had resident, in bytes; `variables` are added
    to its environment."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command, environment = [str(part) for part in command], {**os.environ, **variables}
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        if process.returncode != 0:
            tail = err.read().decode(errors="replace").strip().splitlines()[-3:]
            raise RuntimeError(f"{pathlib.Path(command[0]).name} failed: {' '.join(tail)}")
        unit = 1 if sys.platform == "darwin" else 1024
        return out.read().decode(), usage.ru_maxrss * unit


def cutq(path, case, threads, n_gen=0):
    budget = ["--memory", case.memory] if case.memory else []
    level = {"CUTQ_SIMD": case.simd} if case.simd else {}
    text, _ = call([CUTQ, "bench", path, "--tokens", case.tokens, "--batch", case.batch, "--threads", threads,
                    "--repetitions", 1, "--n-gen", n_gen, "--json", *budget], **level)
    found = json.loads(text)
    if case.simd and found["simd"] != case.simd:
        raise RuntimeError(f"cutq computed with {found['simd']}, not {case.simd}")
    return {"train": found["train_tok_per_s"], "read": found["read_tok_per_s"],
            "generate": found["generate_tok_per_s"], "peak": found["peak_rss_bytes"],
            "own": found["peak_anon_bytes"], "simd": found["simd"]}


def llama(path, case, threads, n_gen=0):
    folder = LLAMA_AVX2 if case.simd else LLAMA
    tests = ["-p", case.tokens, "-n", n_gen]
    text, peak = call([folder / "llama-bench", "-m", path, *tests, "-t", threads, "-r", 2, "-o", "json"])
    read, *generate = [test["avg_ts"] for test in json.loads(text)]
    return {"read": read, "generate": generate[0] if generate else None, "peak": peak}


def cutq_sampling(path, threads):
    """Tokens per second, read and drawn, of many prompts at a time."""
    text, _ = call([CUTQ, "bench", path, "--tokens", 4, "--batch", 1, "--threads", threads,
                    "--repetitions", 1, "--n-parallel", N_PARALLEL, "--json"])
    return {"sample": json.loads(text)["sample_tok_per_s"]}


def llama_sampling(path, threads):
    """The same of llama.cpp, which draws nothing: it goes on with any tokens."""
    tokens = ["-npp", N_SAMPLED, "-ntg", N_SAMPLED, "-npl", N_PARALLEL, "-c", 2 * N_SAMPLED * N_PARALLEL]
    text, _ = call([LLAMA / "llama-batched-bench", "-m", path, *tokens, "-t", threads,
                    "--output-format", "jsonl"])
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return {"sample": json.loads(lines[-1])["speed"]}


def pytorch(path, case, threads):
    command = [TORCH, REPO / "scripts/bench_pytorch.py", path, "--tokens", case.tokens,
               "--batch", case.batch, "--threads", threads, "--repetitions", 1]
    text, peak = call(command + ["--recompute"] * case.recompute)
    return {"train": json.loads(text.splitlines()[-1])["train_tok_per_s"], "peak": peak}


def peers():
    """The peers that are here, and a line about each that is not."""
    found, missing = {}, []
    if all((folder / "llama-bench").exists() for folder in [LLAMA, LLAMA_AVX2]):
        found["llama.cpp"] = llama
    else:
        missing.append("llama.cpp: llama-bench is not built (scripts/peers.sh)")
    script = "import importlib.util as u; print(*[n for n in 'torch transformers peft gguf'.split() if not u.find_spec(n)])"
    try:
        lacking = call([TORCH, "-c", script])[0].split()
    except (OSError, RuntimeError):
        lacking = ["python"]
    if lacking:
        missing.append(f"PyTorch: missing {', '.join(lacking)} (scripts/peers.sh --torch)")
    else:
        found["PyTorch"] = pytorch
    return found, missing


def file_of(case):
    """The model of a case, made if it can be; else why it is not there."""
    path = case.path()
    if path.exists():
        return path
    if case.made_as is None:
        raise RuntimeError(f"{case.file} is not there (scripts/models.py)")
    MADE.mkdir(parents=True, exist_ok=True)
    say(f"making {case.file}")
    part = path.with_suffix(".part")
    if case.made_as == "synthetic":
        call([SYNTHETIC, "--shape", "llama3-8b", "--type", "q4_k", part])
    elif (LLAMA / "llama-quantize").exists():
        call([LLAMA / "llama-quantize", "--allow-requantize", MODELS / SMOL.format("Q4_1"), part,
              case.made_as])
    else:
        raise RuntimeError(f"{case.file}: llama-quantize, which makes it, is not built (scripts/peers.sh)")
    part.rename(path)
    return path


class Busy:
    """Programs that never rest, while the `with` block runs. Once they have ended their work counts as
    this program's own."""

    def __init__(self, n):
        self.n = n

    def __enter__(self):
        spin = [sys.executable, "-c", "while True: pass"]
        self.processes = [subprocess.Popen(spin) for _ in range(self.n)]

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
