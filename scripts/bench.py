#!/usr/bin/env python3
"""Runs cutq beside what else is installed, on the same files, and prints one table of ratios.

usage: bench.py [CASE...] [--rounds N] [--threads N] [--write FILE.md]
       bench.py --readme [--check]

The tools take turns, a process each, `--rounds` times, so that a machine that slows down slows all
of them. A ratio is the median of the rounds' ratios, a speed the median of the rounds' speeds.
Peers: llama.cpp's llama-bench and llama-quantize in $CUTQ_LLAMA or target/peers/llama/bin, Python
with torch, transformers, peft and gguf as $CUTQ_TORCH or in target/peers/torch; scripts/peers.sh
builds both. What is missing is named.

`--write` refuses if other programs use the machine. `--readme` makes README's table from
docs/benchmarks.md, as writing that file does, too; with `--check` it only compares the two.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import typing
from statistics import median

import load
import speed_table

REPO = pathlib.Path(__file__).resolve().parent.parent
CUTQ = REPO / "target/release/cutq"
SYNTHETIC = REPO / "target/release/synthetic"
LLAMA = pathlib.Path(os.environ.get("CUTQ_LLAMA") or REPO / "target/peers/llama/bin")
TORCH = os.environ.get("CUTQ_TORCH") or str(REPO / "target/peers/torch/bin/python")
MODELS = pathlib.Path(os.environ.get("CUTQ_MODELS") or REPO / "models")
MADE = REPO / "target/bench"
BENCHMARKS = REPO / "docs/benchmarks.md"
README = REPO / "README.md"

SMOL = "SmolLM2-135M-Instruct.{}.gguf"


class Case(typing.NamedTuple):
    """A model and a step of training."""
    file: str
    tokens: int = 512
    batch: int = 2
    made_as: str | None = None  # a type that llama-quantize makes of SmolLM2's Q4_1, or "synthetic"
    pytorch: bool = False
    recompute: bool = False  # in PyTorch, where it would not fit otherwise
    memory: str | None = None  # the budget that cutq is given
    peers: bool = True  # a second budget needs no second look at them
    readme: str | None = None  # its name in README's table, if it is shown there

    def cells(self):
        """What its row begins with: model, step and budget."""
        budget = self.memory or "any memory"
        return self.file.removesuffix(".gguf"), f"{self.batch} × {self.tokens}", budget


QWEN = "Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf"
SMOL_NAME, QWEN_NAME = "SmolLM2 135M Q4_1", "Qwen2.5-Coder 1.5B Q4_K_M"

CASES = {
    "smol": Case(SMOL.format("Q4_1"), pytorch=True, memory="900MB", readme=SMOL_NAME),
    "smol-300": Case(SMOL.format("Q4_1"), memory="300MiB", peers=False, readme=SMOL_NAME),
    "smol-long": Case(SMOL.format("Q4_1"), tokens=2048, memory="900MB"),
    "smol-q4_0": Case(SMOL.format("Q4_0"), made_as="Q4_0", memory="900MB"),
    "smol-q8_0": Case(SMOL.format("Q8_0"), made_as="Q8_0", memory="900MB"),
    "smol-f16": Case(SMOL.format("F16"), made_as="F16", memory="900MB"),
    "gemma": Case("gemma-3-270m-Q4_K_M.gguf", pytorch=True, memory="1.2GB", readme="Gemma 3 270M Q4_K_M"),
    "qwen": Case(QWEN, tokens=256, pytorch=True, recompute=True, memory="4GB", readme=QWEN_NAME),
    "qwen-2g": Case(QWEN, tokens=256, memory="2GiB", peers=False, readme=QWEN_NAME),
    "llama3-8b": Case("synthetic-llama3-8b-q4_K.gguf", tokens=256, made_as="synthetic",
                      memory="1390MB", readme="Llama 3 8B's shape, Q4_K"),
}
USUAL = ["smol", "smol-300", "smol-long", "smol-q4_0", "smol-q8_0", "smol-f16", "gemma"]
TITLES = ["model", "step", "cutq within", "cutq trains", "cutq reads", "llama.cpp reads", "PyTorch trains",
          "train ÷ llama.cpp read", "train ÷ PyTorch train", "cutq peak (own)", "llama.cpp peak",
          "PyTorch peak", "memory ÷ PyTorch"]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def call(command):
    """stdout of a command, and the most memory that it had resident, in bytes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        if process.returncode != 0:
            tail = err.read().decode(errors="replace").strip().splitlines()[-3:]
            raise RuntimeError(f"{pathlib.Path(command[0]).name} failed: {' '.join(tail)}")
        unit = 1 if sys.platform == "darwin" else 1024
        return out.read().decode(), usage.ru_maxrss * unit


def cutq(path, case, threads):
    budget = ["--memory", case.memory] if case.memory else []
    text, _ = call([CUTQ, "bench", path, "--tokens", case.tokens, "--batch", case.batch,
                    "--threads", threads, "--repetitions", 1, "--json", *budget])
    found = json.loads(text)
    return {"train": found["train_tok_per_s"], "read": found["read_tok_per_s"],
            "peak": found["peak_rss_bytes"], "own": found["peak_anon_bytes"]}


def llama(path, case, threads):
    text, peak = call([LLAMA / "llama-bench", "-m", path, "-p", case.tokens, "-n", 0, "-t", threads,
                       "-r", 2, "-o", "json"])
    return {"read": json.loads(text)[0]["avg_ts"], "peak": peak}


def pytorch(path, case, threads):
    command = [TORCH, REPO / "scripts/bench_pytorch.py", path, "--tokens", case.tokens,
               "--batch", case.batch, "--threads", threads, "--repetitions", 1]
    text, peak = call(command + ["--recompute"] * case.recompute)
    return {"train": json.loads(text.splitlines()[-1])["train_tok_per_s"], "peak": peak}


def peers():
    """The peers that are here, and a line about each that is not."""
    found, missing = {}, []
    if (LLAMA / "llama-bench").exists():
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
    path = (MADE if case.made_as else MODELS) / case.file
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


def measure(names, rounds, threads, tools):
    """{case: {tool: [figures of each round]}}, and what failed."""
    found, failed = {}, []
    files = {}
    for name in names:
        try:
            files[name] = file_of(CASES[name])
        except RuntimeError as error:
            failed.append(str(error))
    for n in range(rounds):
        for name, path in files.items():
            for tool, run in tools.items():
                case = CASES[name]
                if tool != "cutq" and not case.peers or tool == "PyTorch" and not case.pytorch:
                    continue
                say(f"round {n + 1} of {rounds}: {name}, {tool}")
                try:
                    figures = run(path, CASES[name], threads)
                    found.setdefault(name, {}).setdefault(tool, []).append(figures)
                except (OSError, RuntimeError) as error:
                    failed.append(f"{name}: {error}")
    return found, list(dict.fromkeys(failed))


def speed(samples, key):
    """`median ±half of the range`."""
    values = [sample[key] for sample in samples]
    middle = median(values)
    spread = (max(values) - min(values)) / 2 / middle * 100
    return f"{middle:.1f} ±{spread:.0f} %" if len(values) > 1 else f"{middle:.1f}"


def ratio(samples, key, other, other_key):
    if len(samples) != len(other):
        return "–"  # a round failed: nothing to pair
    return f"{median(a[key] / b[other_key] for a, b in zip(samples, other)):.2f}"


def mib(samples, key):
    values = [sample[key] for sample in samples]
    return "–" if None in values else f"{max(values) / 2**20:.0f} MiB"


def row(name, tools):
    case = CASES[name]
    ours, theirs, torch = (tools.get(tool) for tool in ("cutq", "llama.cpp", "PyTorch"))
    if not ours:
        return None
    dash = "–"
    return [
        *case.cells(),
        speed(ours, "train"), speed(ours, "read"),
        speed(theirs, "read") if theirs else dash,
        speed(torch, "train") if torch else dash,
        ratio(ours, "train", theirs, "read") if theirs else dash,
        ratio(ours, "train", torch, "train") if torch else dash,
        f"{mib(ours, 'peak')} ({mib(ours, 'own')})",
        mib(theirs, "peak") if theirs else dash,
        mib(torch, "peak") if torch else dash,
        ratio(ours, "peak", torch, "peak") if torch and ours[0]["peak"] else dash,
    ]


def table(rows):
    lines = [TITLES, ["---"] * 3 + ["---:"] * (len(TITLES) - 3)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def is_busy(cores):
    return cores > load.LIMIT


def refuse(when, cores):
    """Ends the program, since figures from a busy machine are not to be written down."""
    sys.exit(f"bench: other programs used {cores:.2f} cores {when}, more than {load.LIMIT}, so nothing was "
             "written: wait until they have ended (`top` shows them), or leave out --write to see figures "
             "all the same")


def machine(threads, before, during):
    """CPU, cores, instructions that matter, and the cores that other programs used."""
    model, flags = platform.processor() or platform.machine(), []
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() in ("flags", "Features"):
                flags = value.split()
    except OSError:
        pass
    wanted = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "asimddp", "i8mm", "sve"]
    has = " ".join(flag for flag in wanted if flag in flags) or "flags unknown"
    busy = "; BUSY, so trust no speed" if is_busy(max(before, during)) else ""
    return (f"{model}, {os.cpu_count()} cores ({has}), {threads} threads; other programs used {before:.2f} "
            f"cores before the run and {during:.2f} during it{busy}")


def report(names, rounds, found, missing, conditions):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPO, text=True,
                            capture_output=True).stdout.strip()
    rows = [row(name, found.get(name, {})) for name in names]
    lines = [
        "# Benchmarks", "",
        "Written by `make bench`; the newest run only. Tokens per second, median of "
        f"{rounds} rounds ± half of their range; the tools take turns.", "",
        f"- {datetime.date.today()}, commit {commit}",
        f"- {conditions}", "",
        table([line for line in rows if line]), "",
        "**cutq**: `cutq bench`, LoRA r = 16 on the feed-forward network, int8; its reading computes the "
        "logits of half of the tokens. **llama.cpp**: `llama-bench -p`, which only reads, and computes the "
        "logits of the last token. **PyTorch**: `scripts/bench_pytorch.py`, transformers and PEFT, weights as "
        "f32, recomputing the layers on Qwen only. Peaks are resident memory with mapped files; *own* is "
        "without them.", "",
    ]
    if missing:
        lines += ["Not measured:", "", *(f"- {line}" for line in missing), ""]
    return "\n".join(lines)


def update_readme(only_check):
    """Puts the table of docs/benchmarks.md into README, or ends the program if it is another one there."""
    names = {case.cells(): case.readme for case in CASES.values() if case.readme}
    old = README.read_text()
    try:
        new = speed_table.replace(old, speed_table.render(BENCHMARKS.read_text(), names))
    except speed_table.Malformed as error:
        sys.exit(f"bench: {error}")
    if only_check and new != old:
        sys.exit("bench: README's table is not that of docs/benchmarks.md: run scripts/bench.py --readme")
    if new != old:
        README.write_text(new)


def main():
    parser = argparse.ArgumentParser(description="Measure cutq beside its peers.")
    parser.add_argument("cases", nargs="*", metavar="CASE", default=[], help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0))
                        if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE.md")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check and not args.readme:
        parser.error("--check is for --readme")
    if args.readme:
        return update_readme(args.check)
    names = args.cases or USUAL
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"unknown cases {', '.join(unknown)}; known are {', '.join(CASES)}")
    before = load.other_cores()
    if args.write and is_busy(before):
        refuse("before the run", before)
    others, missing = peers()
    for line in missing:
        say(f"not measured: {line}")
    work = load.OtherWork()
    found, failed = measure(names, args.rounds, args.threads, {"cutq": cutq, **others})
    during = work.cores(args.threads)
    for line in failed:
        say(f"not measured: {line}")
    text = report(names, args.rounds, found, missing + failed, machine(args.threads, before, during))
    print(text)
    if args.write and is_busy(during):
        refuse("during the run", during)
    if args.write and found:
        args.write.parent.mkdir(exist_ok=True)
        args.write.write_text(text)
        if args.write.resolve() == BENCHMARKS:
            update_readme(only_check=False)
    if not any("cutq" in tools for tools in found.values()):
        sys.exit("bench: cutq was not measured")


if __name__ == "__main__":
    main()
