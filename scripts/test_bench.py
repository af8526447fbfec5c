#!/usr/bin/env python3
"""Tests of bench.py that measure nothing. usage: test_bench.py"""
import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import bench
import load

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


class Write(unittest.TestCase):
    """`--write` on machines as busy as given before and during the run."""

    def run_bench(self, before, during, *flags):
        """What the program printed, whether it measured, and what it says if it refuses."""
        measured = mock.Mock(return_value=({"smol": {"cutq": [SAMPLE]}}, []))
        work = mock.Mock()
        work.return_value.cores.return_value = during
        out, refusal = io.StringIO(), None
        with mock.patch.multiple(bench, measure=measured, peers=lambda: ({}, [])), \
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


if __name__ == "__main__":
    unittest.main()
