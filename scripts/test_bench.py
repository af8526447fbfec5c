#!/usr/bin/env python3
"""Tests of bench.py that measure nothing. usage: test_bench.py"""
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import bench
import load
import report
import speed_table
import tools
from cases import BUSY, CASES

SAMPLE = {"train": 1000.0, "read": 3000.0, "peak": 2**30, "own": 2**29}


class Load(unittest.TestCase):
    def test_everything_but_idle_and_waiting_is_work(self):
        with mock.patch("os.sysconf", return_value=100):
            seconds = load.busy_seconds("cpu  100 20 300 9999 8888 4 5 6 0 0\ncpu0 1 2 3\n")
        self.assertEqual(seconds, 4.35)

    @unittest.skipUnless(load.STAT.exists(), "there is no /proc/stat")
    def test_a_program_that_computes_is_seen(self):
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            self.assertGreater(load.other_cores(0.5), load.LIMIT)
        finally:
            other.kill()
            other.wait()

    def test_own_work_is_not_counted(self):
        stat = mock.Mock()  # of a machine on which nothing else runs
        stat.read_text = lambda: f"cpu {load.own_seconds() * os.sysconf('SC_CLK_TCK'):.0f}" + " 0" * 9
        with mock.patch.object(load, "STAT", stat):
            work = load.OtherWork()
            script = "import time\nwhile time.process_time() < 0.3: pass"
            subprocess.run([sys.executable, "-c", script], check=True)
            self.assertLess(work.cores(), 0.1)


    @unittest.skipUnless(load.STAT.exists(), "there is no /proc/stat")
    def test_busy_programs_of_our_own_count_as_ours_once_they_have_ended(self):
        work = load.OtherWork()
        with tools.Busy(1):
            self.assertGreater(load.other_cores(0.5), load.LIMIT)
        self.assertLess(work.cores(), load.other_cores(0.5) + load.LIMIT)


class Levels(unittest.TestCase):
    def run_cutq(self, found):
        figures = {"train_tok_per_s": 1.0, "read_tok_per_s": 2.0, "generate_tok_per_s": None,
                   "peak_rss_bytes": 3, "peak_anon_bytes": 4, "simd": found}
        with mock.patch.object(tools, "call", return_value=(json.dumps(figures), 0)) as call:
            tools.cutq(CASES["smol-avx2"].path(), CASES["smol-avx2"], 2)
        return call.call_args.kwargs

    def test_a_case_asks_for_its_level(self):
        self.assertEqual(self.run_cutq("avx2"), {"CUTQ_SIMD": "avx2"})

    def test_another_level_than_the_one_asked_for_is_no_measurement(self):
        with self.assertRaisesRegex(RuntimeError, "avx512, not avx2"):
            self.run_cutq("avx512")

    def test_its_row_names_the_level(self):
        self.assertTrue(CASES["smol-avx2"].cells()[0].endswith("Q4_1 (avx2)"))


class Beside(unittest.TestCase):
    def test_ratios_are_of_the_same_round(self):
        figures = {"train": [[10.0, 20.0], [5.0, 12.0], [1.0, 4.0]]}
        found = {"cutq": {busy: [{"train": x, "read": 1.0, "generate": None} for x in values]
                          for busy, values in zip(BUSY, figures["train"])}}
        _, _, train, read = report.beside(found).splitlines()
        self.assertEqual([cell.strip() for cell in train.strip("|").split("|")],
                         ["cutq trains", "15.0 ±33 %", "8.5 ±41 %", "0.55", "2.5 ±60 %", "0.15"])
        self.assertIn("cutq reads", read)

    def test_what_failed_is_a_dash(self):
        found = {"cutq": {0: [{"train": 1.0, "read": 1.0, "generate": 2.0}]}}
        self.assertEqual(report.beside(found).count("–"), 3 * 4)


class Sampling(unittest.TestCase):
    def test_its_table_has_the_ratio_of_each_model(self):
        speeds = lambda *values: [{"sample": value} for value in values]
        found = {"smol": {"cutq": speeds(900.0, 1000.0), "llama.cpp": speeds(300.0, 250.0)},
                 "qwen": {"cutq": speeds(100.0, 100.0)}}
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in
                report.sampling(found).splitlines()[2:]]
        self.assertEqual([row[1:] for row in rows],
                         [["950.0 ±5 %", "275.0 ±9 %", "3.50"], ["100.0 ±0 %", "–", "–"]])

    def test_the_last_line_of_llama_cpp_counts(self):
        with mock.patch.object(tools, "call", return_value=("n_kv_max = 1\n{\"speed\": 2.5}\n\n", 0)):
            self.assertEqual(tools.llama_sampling("model", 2), {"sample": 2.5})


class Write(unittest.TestCase):
    """`--write` on machines as busy as given before and during the run."""

    def run_bench(self, before, during, *flags):
        """What the program printed, whether it measured, and what it says if it refuses."""
        measured = mock.Mock(return_value=({"smol": {"cutq": [SAMPLE]}}, []))
        work = mock.Mock()
        work.return_value.cores.return_value = during
        out, refusal = io.StringIO(), None
        with mock.patch.object(bench, "measure", measured), \
                mock.patch.object(tools, "peers", lambda: ({}, [])), \
                mock.patch.multiple(load, other_cores=lambda: before, OtherWork=work), \
                mock.patch("sys.argv", ["bench.py", "smol", *map(str, flags)]), \
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            try:
                bench.main()
            except SystemExit as error:
                refusal = error.code
        return out.getvalue(), measured.called, refusal

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "benchmarks.md"
        self.file.write_text("old")

    def test_an_idle_machine_is_written_down(self):
        _, measured, refusal = self.run_bench(0.01, 0.05, "--write", self.file)
        self.assertTrue(measured)
        self.assertIsNone(refusal)
        self.assertIn("| 1000.0 |", self.file.read_text())
        self.assertIn("0.01 cores before the run and 0.05 during it\n", self.file.read_text())

    def test_a_busy_machine_is_refused_before_anything_is_measured(self):
        _, measured, refusal = self.run_bench(1.5, 0.0, "--write", self.file)
        self.assertFalse(measured)
        self.assertIn("1.50 cores before the run", refusal)
        self.assertEqual(self.file.read_text(), "old")

    def test_a_machine_that_became_busy_is_refused_after_it_was_measured(self):
        printed, _, refusal = self.run_bench(0.0, 0.7, "--write", self.file)
        self.assertIn("0.70 cores during the run", refusal)
        self.assertIn("| 1000.0 |", printed)
        self.assertEqual(self.file.read_text(), "old")

    def test_without_write_a_busy_machine_is_only_remarked(self):
        printed, measured, refusal = self.run_bench(1.5, 1.5)
        self.assertTrue(measured)
        self.assertIsNone(refusal)
        self.assertIn("BUSY", printed)


class Readme(unittest.TestCase):
    """README's table against a made-up docs/benchmarks.md."""

    TITLES = ["model", "step", "cutq within", "cutq trains", "llama.cpp reads", "PyTorch trains", "PyTorch peak"]
    ROWS = [
        ["big-Q4_K", "2 × 512", "900MB", "1002.9 ±3 %", "419.1 ±1 %", "233.1 ±3 %", "3470 MiB"],
        ["other", "2 × 512", "900MB", "1.0 ±3 %", "–", "–", "–"],
        ["big-Q4_K", "2 × 512", "300MiB", "838.8", "–", "–", "–"],
    ]
    NAMES = {("big-Q4_K", "2 × 512", "900MB"): "Big", ("big-Q4_K", "2 × 512", "300MiB"): "Big"}

    def benchmarks(self):
        lines = ["| " + " | ".join(row) + " |" for row in [self.TITLES, ["---"] * 7, *self.ROWS]]
        return "\n".join(["- 2026-01-02, commit abc", "- a CPU, load 4.9; BUSY", *lines, "- not measured: x"])

    def test_chosen_rows_are_shown_with_what_was_said_of_the_run(self):
        _, _, *rows, empty, taken = speed_table.render(self.benchmarks(), self.NAMES).splitlines()
        self.assertEqual(rows, [
            "| Big, 2 × 512 | 900MB | 1003 | 419 | 233 in 3470 MiB |",
            "| the same | 300MiB | 839 |  |  |",
        ])
        self.assertEqual(taken, "Taken on 2026-01-02, commit abc: a CPU, load 4.9; BUSY.")

    def test_only_what_is_between_the_marks_changes(self):
        readme = f"a\n{speed_table.BEGIN}\nold\n{speed_table.END}\nb"
        once = speed_table.replace(readme, "new")
        self.assertEqual(once, f"a\n{speed_table.BEGIN}\n\nnew\n\n{speed_table.END}\nb")
        self.assertEqual(speed_table.replace(once, "new"), once)

    def test_what_is_missing_is_an_error(self):
        with self.assertRaises(speed_table.Malformed):
            speed_table.replace("no marks", "new")
        with self.assertRaises(speed_table.Malformed):
            speed_table.render(self.benchmarks(), {})
        with self.assertRaises(speed_table.Malformed):
            speed_table.render("no table", self.NAMES)

    def test_a_table_that_drifted_fails_the_check_and_is_left_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            readme = pathlib.Path(folder) / "README.md"
            readme.write_text(bench.README.read_text().replace(speed_table.END, f"drift\n{speed_table.END}"))
            drifted = readme.read_text()
            with mock.patch.object(bench, "README", readme):
                with self.assertRaises(SystemExit):
                    bench.update_readme(only_check=True)
                self.assertEqual(readme.read_text(), drifted)
                bench.update_readme(only_check=False)
                bench.update_readme(only_check=True)


if __name__ == "__main__":
    unittest.main()
