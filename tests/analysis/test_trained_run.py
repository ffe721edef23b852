"""The report over runs that the program itself wrote: one complete, one killed in the middle."""
from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import support
from tether_analysis import find_runs, open_run, open_sweep
from tether_analysis.grouping import families
from tether_analysis.page import write_page

PROGRAM = Path(os.environ.get("TETHER", support.ROOT / "build" / "release" / "tether"))
SHORT = ("data.train=200", "data.validation=100", "data.test=100", "data.batch=50", "log.every=1")


@unittest.skipUnless(PROGRAM.exists(), f"there is no {PROGRAM}; scripts/prepare builds it")
class TrainedRuns(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = Path(temporary.name)

    def train(self, *keys: str) -> list[str]:
        settings = [part for key in (*SHORT, *keys) for part in ("--set", key)]
        return [str(PROGRAM), "train", str(support.ROOT / "jobs" / "quick.toml"), *settings, "--runs", str(self.top),
                "--threads", "1"]

    def test_complete_runs_of_two_methods(self) -> None:
        for method in ("strict", "ace-resilient"):
            done = subprocess.run(self.train("train.epochs=3", "train.evaluate_every=1", f'method.name="{method}"',
                                             f'name="{method}"'), capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            run = open_run(Path(done.stdout.splitlines()[-1].removeprefix("run ")))
            self.assertEqual((run.condition, run.problems), ("complete", []))
            self.assertEqual((run.steps, run.total_steps, len(run.table("/eval/validation"))), (12, 12, 3))
            self.assertEqual(len(run.state_sha256), 64)
        runs = [open_run(folder) for folder in find_runs(self.top)]
        (family,) = families(runs)
        self.assertEqual([group.label for group in family.groups], ["SEGNN strict", "SEGNN ACE resilient"])
        self.assertIs(family.groups[1].baseline, family.groups[0])
        text = write_page(runs, [family], "two")
        for said in ("slack u", "equivariance error", "Where the time goes", "charged N-body"):
            self.assertIn(said, text)

    def test_sweep_from_its_plan_to_its_page(self) -> None:
        settings = "\n".join(SHORT)
        (self.top / "methods.toml").write_text(
            f'name = "methods"\nbase = "{support.ROOT}/jobs/quick.toml"\nseeds = [42, 43]\n[set]\n{settings}\n'
            'model.hidden = "8x0e+8x1o"\nmodel.layers = 1\ntrain.epochs = 1\ntrain.evaluate_every = 1\n'
            '[grid]\nmethod.name = ["strict", "ace"]\n')
        folder = self.top / "sweep"
        for words in (("plan", self.top / "methods.toml", "--out", folder, "--bench-steps", "0"), ("run", folder)):
            if words[0] == "run":
                planned = open_sweep(folder)
                self.assertEqual([run.condition for run in planned.runs], ["waiting"] * 4)
                self.assertEqual(sorted(run.method for run in planned.runs), ["ace", "ace", "strict", "strict"])
            done = subprocess.run([PROGRAM, "sweep", *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        sweep = open_sweep(folder, whole=True)
        self.assertEqual((sweep.name, sweep.problems, sweep.named()), ("methods", [], []))
        self.assertEqual({run.labels["seed"] for run in sweep.runs}, {"42", "43"})
        (family,) = families(sweep.runs)
        self.assertEqual([(group.label, len(group.runs)) for group in family.groups],
                         [("SEGNN strict", 2), ("SEGNN ACE", 2)])
        self.assertIn("against strict", write_page(sweep.runs, [family], "methods"))

    def test_killed_run_is_named_and_its_rows_are_there(self) -> None:
        with subprocess.Popen(self.train("train.epochs=1000", "train.evaluate_every=1"), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                deadline = time.monotonic() + 120
                while time.monotonic() < deadline:
                    found = find_runs(self.top)
                    if found and len(open_run(found[0]).table("/eval/validation")) >= 1:
                        break
                    time.sleep(0.2)
                self.assertEqual(open_run(find_runs(self.top)[0]).condition, "running")
            finally:
                process.send_signal(signal.SIGKILL)
        run = open_run(find_runs(self.top)[0])
        self.assertEqual(run.condition, "killed")
        self.assertGreaterEqual(len(run.table("/eval/validation")), 1)
        self.assertIn("was killed", write_page([run], families([run]), "killed"))


if __name__ == "__main__":
    unittest.main()
