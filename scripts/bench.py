#!/usr/bin/env python3
"""Runs cutq beside what else is installed, on the same files, and prints one table of ratios.

usage: bench.py [CASE...] [--rounds N] [--threads N] [--write FILE.md]
       bench.py --readme [--check]

The tools take turns, a process each, `--rounds` times, so that a machine that slows down slows all
of them. A ratio is the median of the rounds' ratios, a speed the median of the rounds' speeds.
Peers: llama.cpp's llama-bench, llama-batched-bench and llama-quantize in $CUTQ_LLAMA or
target/peers/llama/bin, llama-bench for AVX2 alone in $CUTQ_LLAMA_AVX2 or target/peers/llama-avx2/bin, Python with torch, transformers,
peft and gguf as $CUTQ_TORCH or in target/peers/torch; scripts/peers.sh builds them. What is missing
is named.

`--write` refuses if other programs use the machine. `--readme` makes README's table from
docs/benchmarks.md, as writing that file does, too; with `--check` it only compares the two.
"""
import argparse
import os
import pathlib
import sys

import load
import report
import speed_table
import tools
from cases import BESIDE, BUSY, CASES, REPO, SAMPLED, USUAL

BENCHMARKS = REPO / "docs/benchmarks.md"
README = REPO / "README.md"


def measure(names, rounds, threads, measured):
    """{case: {tool: [figures of each round]}}, and what failed; `measured` are the tools by name."""
    found, failed = {}, []
    files = {}
    for name in names:
        try:
            files[name] = tools.file_of(CASES[name])
        except RuntimeError as error:
            failed.append(str(error))
    for n in range(rounds):
        for name, path in files.items():
            for tool, run in measured.items():
                case = CASES[name]
                if tool != "cutq" and not case.peers or tool == "PyTorch" and not case.pytorch:
                    continue
                tools.say(f"round {n + 1} of {rounds}: {name}, {tool}")
                try:
                    found.setdefault(name, {}).setdefault(tool, []).append(run(path, case, threads))
                except (OSError, RuntimeError) as error:
                    failed.append(f"{name}: {error}")
    return found, list(dict.fromkeys(failed))


def measure_beside(rounds, threads, measured):
    """{tool: {busy programs: [figures of each round]}} of the case BESIDE, and what failed."""
    found, failed = {}, []
    case = CASES[BESIDE]
    for n in range(rounds):
        for busy in BUSY:
            for tool, run in measured.items():
                tools.say(f"round {n + 1} of {rounds}: {BESIDE}, {tool}, beside {busy} busy programs")
                try:
                    with tools.Busy(busy):
                        figures = run(tools.file_of(case), case, threads, tools.N_GEN)
                    found.setdefault(tool, {}).setdefault(busy, []).append(figures)
                except (OSError, RuntimeError) as error:
                    failed.append(f"beside {busy} busy programs: {error}")
    return found, list(dict.fromkeys(failed))


def measure_sampling(rounds, threads):
    """{case: {tool: [figures of each round]}} of SAMPLED, and what failed."""
    found, failed = {}, []
    for n in range(rounds):
        for name in SAMPLED:
            for tool, run in {"cutq": tools.cutq_sampling, "llama.cpp": tools.llama_sampling}.items():
                tools.say(f"round {n + 1} of {rounds}: sampling, {name}, {tool}")
                try:
                    figures = run(tools.file_of(CASES[name]), threads)
                    found.setdefault(name, {}).setdefault(tool, []).append(figures)
                except (OSError, RuntimeError) as error:
                    failed.append(f"sampling, {name}: {error}")
    return found, list(dict.fromkeys(failed))


def refuse(when, cores):
    """Ends the program, since figures from a busy machine are not to be written down."""
    sys.exit(f"bench: other programs used {cores:.2f} cores {when}, more than {load.LIMIT}, so nothing was "
             "written: wait until they have ended (`top` shows them), or leave out --write to see figures "
             "all the same")


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
    parser.add_argument("cases", nargs="*", metavar="CASE", default=[],
                        help=f"{', '.join(CASES)}; `beside` for {BESIDE} beside other programs; `sampling` "
                             f"for many prompts at a time, on {' and '.join(SAMPLED)}")
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
    names = args.cases or [*USUAL, "beside", "sampling"]
    known = [*CASES, "beside", "sampling"]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown cases {', '.join(unknown)}; known are {', '.join(known)}")
    beside, sampling = "beside" in names, "sampling" in names
    names = [name for name in names if name in CASES]
    before = load.other_cores()
    if args.write and load.is_busy(before):
        refuse("before the run", before)
    others, missing = tools.peers()
    for line in missing:
        tools.say(f"not measured: {line}")
    work, measured = load.OtherWork(), {"cutq": tools.cutq, **others}
    found, failed = measure(names, args.rounds, args.threads, measured)
    busy = {}
    if beside:
        generators = {tool: run for tool, run in measured.items() if tool != "PyTorch"}
        busy, also_failed = measure_beside(args.rounds, args.threads, generators)
        failed += also_failed
    sampled = {}
    if sampling:
        sampled, also_failed = measure_sampling(args.rounds, args.threads)
        failed += also_failed
    during = work.cores(args.threads)
    for line in failed:
        tools.say(f"not measured: {line}")
    conditions = report.machine(args.threads, before, during)
    text = report.text(names, args.rounds, found, busy, sampled, missing + failed, conditions)
    print(text)
    if args.write and load.is_busy(during):
        refuse("during the run", during)
    if args.write and found:
        args.write.parent.mkdir(exist_ok=True)
        args.write.write_text(text)
        if args.write.resolve() == BENCHMARKS:
            update_readme(only_check=False)
    if not any("cutq" in of_case for of_case in [busy, *found.values(), *sampled.values()]):
        sys.exit("bench: cutq was not measured")


if __name__ == "__main__":
    main()
