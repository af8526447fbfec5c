"""The table of what was measured, in Markdown."""
import datetime
import os
import pathlib
import platform
import subprocess
from statistics import median

import load
from cases import BESIDE, BUSY, CASES, N_PARALLEL, N_SAMPLED, REPO
from tools import N_GEN

TITLES = ["model", "step", "cutq within", "cutq trains", "cutq reads", "llama.cpp reads", "PyTorch trains",
          "train ÷ llama.cpp read", "train ÷ PyTorch train", "cutq peak (own)", "llama.cpp peak",
          "PyTorch peak", "memory ÷ PyTorch"]


LEGEND = """\
**cutq**: `cutq bench`, LoRA r = 16 on the feed-forward network, int8, at the CPU's best SIMD level; a level
in brackets is a lower one, beside a llama.cpp that is built for AVX2 alone. Its reading computes the logits
of half of the tokens. **llama.cpp**: `llama-bench -p`, which only reads, and computes the logits of the last
token. **PyTorch**: `scripts/bench_pytorch.py`, transformers and PEFT, weights as f32, recomputing the layers
on Qwen only. Peaks are resident memory with mapped files; *own* is without them."""

BESIDE_LEGEND = f"""\
The case `{BESIDE}` on as many threads as above while other programs compute without end. Generation is one
stream of {N_GEN} tokens: cutq's goes through llama.cpp, too."""


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


def table(titles, rows, texts):
    """The first `texts` columns are text, the others numbers."""
    lines = [titles, ["---"] * texts + ["---:"] * (len(titles) - texts)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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
    busy = "; BUSY, so trust no speed" if load.is_busy(max(before, during)) else ""
    return (f"{model}, {os.cpu_count()} cores ({has}), {threads} threads; other programs used {before:.2f} "
            f"cores before the run and {during:.2f} during it{busy}")


def beside(found):
    """The table of a case beside busy programs: speeds, and their ratios to those of an idle machine."""
    titles = [f"{BESIDE}: tok/s", "idle"]
    for n in BUSY[1:]:
        titles += [f"beside {n} busy", "÷ idle"]
    lines = []
    for tool, of_tool in found.items():
        for what in ["train", "read", "generate"]:
            idle, *others = [of_tool.get(n, []) for n in BUSY]
            if not idle or idle[0].get(what) is None:
                continue
            line = [f"{tool} {what}s", speed(idle, what)]
            for other in others:
                line += [speed(other, what) if other else "–", ratio(other, what, idle, what)]
            lines.append(line)
    return table(titles, lines, texts=1)


SAMPLING_LEGEND = f"""\
{N_PARALLEL} prompts of {N_SAMPLED} tokens at a time, and as many tokens behind each; tokens per second are those read
and those drawn, over all the time. **cutq**: `cutq bench --n-parallel {N_PARALLEL}`, with an adapter, drawn at
temperature 1. **llama.cpp**: `llama-batched-bench`, without one, and without drawing."""


def sampling(found):
    """The table of many prompts at a time."""
    titles = [f"{N_PARALLEL} × ({N_SAMPLED} + {N_SAMPLED}): tok/s", "cutq", "llama.cpp", "cutq ÷ llama.cpp"]
    lines = []
    for name, of_case in found.items():
        ours, theirs = of_case.get("cutq"), of_case.get("llama.cpp")
        if ours:
            other = [speed(theirs, "sample"), ratio(ours, "sample", theirs, "sample")] if theirs else ["–", "–"]
            lines.append([CASES[name].file.removesuffix(".gguf"), speed(ours, "sample"), *other])
    return table(titles, lines, texts=1)


def text(names, rounds, found, busy, sampled, missing, conditions):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPO, text=True,
                            capture_output=True).stdout.strip()
    rows = [row(name, found.get(name, {})) for name in names]
    rows = [line for line in rows if line]
    lines = [
        "# Benchmarks", "",
        "Written by `make bench`; the newest run only. Tokens per second, median of "
        f"{rounds} rounds ± half of their range; the tools take turns.", "",
        f"- {datetime.date.today()}, commit {commit}",
        f"- {conditions}", "",
    ]
    if rows:
        lines += [table(TITLES, rows, texts=3), "", LEGEND, ""]
    if busy:
        lines += [beside(busy), "", BESIDE_LEGEND, ""]
    if sampled:
        lines += [sampling(sampled), "", SAMPLING_LEGEND, ""]
    if missing:
        lines += ["Not measured:", "", *(f"- {line}" for line in missing), ""]
    return "\n".join(lines)
