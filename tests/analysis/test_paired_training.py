"""analysis/compare: what it trains, what it refuses, and the table it prints."""
from __future__ import annotations

import contextlib
import io
import subprocess
import tempfile
import unittest
from pathlib import Path

import support
from tether_analysis import find_runs, open_run, paired_training
from tether_analysis.paired_training import Candidate, candidates, check_same_budget

JOBS = support.ROOT / "jobs" / "nbody"
SHORT = ["data.train=40", "data.validation=20", "data.test=20", "data.batch=20", "train.epochs=2",
         "train.evaluate_every=1", "log.every=1", "train.final_equivariance_samples=2"]


def called(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = paired_training.command(arguments)
    return code, out.getvalue(), err.getvalue()


class Candidates(unittest.TestCase):
    def test_methods_on_one_job(self) -> None:
        found = candidates([Path("a.toml")], ["strict", "ace"], ["seed=1"], {"ace": ["dual.lr=1e-3"]})
        self.assertEqual([candidate.settings for candidate in found],
                         [["seed=1", 'method.name="strict"'], ["seed=1", 'method.name="ace"', "dual.lr=1e-3"]])

    def test_what_does_not_fit_together(self) -> None:
        one, two = [Path("a.toml")], [Path("a.toml"), Path("b.toml")]
        for jobs, methods, own, said in ((two, ["ace"], {}, "--methods needs one job"),
                                         (one, [], {"ace": ["x=1"]}, "--for needs --methods"),
                                         (one, ["ace"], {"strict": ["x=1"]}, "--for strict: not among"),
                                         (one, ["ace", "ace"], {}, "given twice")):
            with self.assertRaisesRegex(ValueError, said):
                candidates(jobs, methods, [], own)

    def test_same_budget(self) -> None:
        def made(**keys: object) -> Candidate:
            return Candidate(Path("a.toml"), [], {"model.name": "segnn", "method.name": "ace", "train.epochs": 5,
                                                  "primal.lr": 1e-3} | {k.replace("_", ".", 1): v for k, v in keys.items()})
        check_same_budget([made(), made(method_name="strict", primal_lr=2e-3)], False)
        with self.assertRaisesRegex(ValueError, "train.epochs is 5 for segnn-ace and 6 for segnn-strict"):
            check_same_budget([made(), made(method_name="strict", train_epochs=6)], False)
        with self.assertRaisesRegex(ValueError, "model.name is segnn"):
            check_same_budget([made(), made(model_name="egnn")], False)
        check_same_budget([made(), made(model_name="egnn")], True)
        with self.assertRaisesRegex(ValueError, "segnn-ace is there twice"):
            check_same_budget([made(), made()], False)


@unittest.skipUnless(paired_training.program().exists(), "there is no program; scripts/prepare builds it")
class Compared(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = Path(temporary.name)
        self.arguments = [str(JOBS / "egnn_strict.toml"), "--methods", "strict", "ace", "--seeds", "3", "4", "--runs",
                          str(self.top / "runs"), "--out", str(self.top / "c.html"), "--threads", "1",
                          *(part for key in SHORT for part in ("--set", key))]

    def test_trains_once_and_prints_the_table(self) -> None:
        script = subprocess.run([str(support.ROOT / "analysis" / "compare"), *self.arguments], capture_output=True,
                                text=True, check=False)
        self.assertEqual(script.returncode, 0, script.stderr)
        runs = [open_run(folder) for folder in find_runs(self.top / "runs")]
        self.assertEqual(sorted((run.method, run.seed) for run in runs),
                         [("ace", 3), ("ace", 4), ("strict", 3), ("strict", 4)])
        self.assertTrue(all(run.condition == "complete" for run in runs))
        for said in ("EGNN strict", "EGNN ACE", "against strict", "±"):
            self.assertIn(said, script.stdout)
        self.assertIn("methods compared", (self.top / "c.html").read_text(encoding="utf-8"))
        times = {run.path: (run.path / "run.h5").stat().st_mtime_ns for run in runs}
        code, text, _ = called(*self.arguments)  # nothing is trained again
        self.assertEqual(code, 0)
        self.assertEqual(times, {path: (path / "run.h5").stat().st_mtime_ns for path in times})
        self.assertIn("EGNN ACE", text)

    def test_mistakes(self) -> None:
        code, _, err = called(*self.arguments, "--set", "train.epoch=3")
        self.assertEqual(code, 2)
        self.assertIn("did you mean", err)
        code, _, err = called(str(JOBS / "egnn_strict.toml"), str(JOBS / "segnn_ace.toml"))
        self.assertEqual(code, 2)
        self.assertIn("a comparison needs the same", err)
        code, out, _ = called(*self.arguments, "--dry-run")
        self.assertEqual((code, out), (0, "4 runs: egnn-strict, egnn-ace; seeds 3, 4; 2 epochs\n"))
        self.assertFalse((self.top / "runs").exists())

    def test_a_run_that_fails_leaves_the_others(self) -> None:
        code, out, err = called(*self.arguments, "--for", "ace", "primal.lr=1e5")
        self.assertEqual(code, 12, err)
        self.assertIn("egnn-ace, seed 3: ended with code 12", err)
        self.assertIn("EGNN strict", out)


if __name__ == "__main__":
    unittest.main()
