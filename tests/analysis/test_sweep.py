"""Sets of runs as frames and sets: what stands in them is what stands in the files, units and all."""
from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np
import support  # noqa: F401
from stored_runs import SITES, write_plan, write_run
from tether_analysis import (compare, estimate, find_runs, open_run, open_runs, open_sweep, paired_test, run_dataset,
                             varying_keys)

try:
    import pandas
    import xarray
except ImportError:  # the report does without
    pandas = xarray = None
NEEDS = unittest.skipIf(pandas is None or xarray is None, "pandas or xarray is missing (Debian: python3-pandas python3-xarray)")


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = Path(temporary.name)


@NEEDS
class Frames(Folder):
    def test_one_row_a_run_with_its_job_and_best_figures(self) -> None:
        write_run(self.top / "a", "ace", 42, epochs=10)
        write_run(self.top / "b", "strict", 43, epochs=10, threads=1)
        frame = open_sweep(self.top).frame()
        self.assertEqual(list(frame["run"]), ["a", "b"])
        self.assertEqual(list(frame["method"]), ["ace", "strict"])
        self.assertEqual(list(frame["data.train"]), [3000, 3000])
        run = open_run(self.top / "a")
        first = frame.iloc[0]
        self.assertEqual(first["projected_test"], run.best["projected"].test)
        self.assertEqual(first["deployed_test"], run.best["projected"].test)
        self.assertEqual(first["wall_s"], run.table("/train")["wall_s"][-1])
        self.assertEqual(first["gamma_max"], np.abs(run.table("/constraint")["gamma"][-1]).max())
        self.assertTrue(math.isnan(frame.iloc[1]["lambda_max"]))
        self.assertEqual(frame.attrs["units"]["wall_s"], "s")
        self.assertEqual(frame["path"][0], str(run.path))

    def test_units_of_the_metric_are_read_and_disagreement_is_said(self) -> None:
        for name, unit in (("a", "Å^2"), ("b", "Å^2"), ("c", "eV")):
            write_run(self.top / name, "ace", 42, epochs=10)
            with h5py.File(self.top / name / "run.h5", "r+", libver="latest") as file:
                file["/eval/validation/projected"].attrs["units"] = unit
        alike = open_sweep([self.top / "a", self.top / "b"])
        self.assertEqual(alike.frame().attrs["units"]["projected_test"], "Å^2")
        self.assertEqual(alike.frame("/eval/validation").attrs["units"]["projected"], "Å^2")
        self.assertEqual(open_sweep(self.top).frame().attrs["units"]["projected_test"], "mixed")

    def test_tables_are_tidy(self) -> None:
        for seed in (42, 43):
            write_run(self.top / str(seed), "ace", seed, epochs=10 * (seed - 41))
        sweep = open_sweep(self.top)
        self.assertEqual(sweep.runs[0].tables, {}, "tables are read when asked for")
        frame = sweep.frame("/eval/validation")
        self.assertEqual(len(frame), 2 + 4)
        self.assertEqual(list(frame.columns), ["run", "data", "model", "method", "seed", "step", "epoch", "projected",
                                               "relaxed"])
        run = open_run(self.top / "43")
        mine = frame[frame["run"] == "43"]
        np.testing.assert_array_equal(mine["projected"], run.table("/eval/validation")["projected"])
        np.testing.assert_allclose(mine["epoch"], [5, 10, 15, 20])
        self.assertEqual(sweep.frame("timing").attrs["units"]["forward"], "s")

    def test_sites_are_a_column(self) -> None:
        write_run(self.top / "a", "ace", epochs=10)
        write_run(self.top / "b", "strict", epochs=10)
        frame = open_sweep(self.top).frame("constraint")
        run = open_run(self.top / "a")
        self.assertEqual(len(frame), 10 * len(SITES))
        self.assertEqual(set(frame["run"]), {"a"}, "strict networks have no site")
        one = frame[(frame["site"] == SITES[3]) & (frame["step"] == 60)]
        self.assertEqual(float(one["gamma"].iloc[0]), run.table("/constraint")["gamma"][1, 3])

    def test_sets_have_dimensions_and_units(self) -> None:
        write_run(self.top / "a", "ace", 42, epochs=10)
        write_run(self.top / "b", "ace", 43, epochs=20)
        sweep = open_sweep(self.top)
        gates = sweep.dataset("constraint")
        self.assertEqual(dict(gates.sizes), {"run": 2, "step": 20, "site": len(SITES)})
        self.assertTrue(np.isnan(gates["gamma"].sel(run="a", step=600)).all(), "the shorter run has no such step")
        np.testing.assert_array_equal(gates["gamma"].sel(run="b"), open_run(self.top / "b").table("/constraint")["gamma"])
        whole = run_dataset(open_run(self.top / "a"))
        self.assertEqual(whole["timing_forward"].attrs["units"], "s")
        self.assertEqual(whole["constraint_gamma"].dims, ("constraint_step", "site"))
        self.assertEqual(whole.attrs["job_hash"], f"{42:064x}")

    def test_empty_tables_make_empty_frames(self) -> None:
        write_run(self.top / "a", "ace", epochs=10, done=0.0, status="running", live=True)
        sweep = open_sweep(self.top)
        self.assertEqual(len(sweep.frame("/eval/validation")), 0)
        self.assertEqual(sweep.dataset("/eval/validation").sizes["run"], 0)
        self.assertTrue(math.isnan(sweep.frame()["projected_test"][0]))

    def test_tables_that_few_runs_have(self) -> None:
        write_run(self.top / "a", epochs=10, outside=True)
        write_run(self.top / "b", epochs=10)
        sweep = open_sweep(self.top)
        self.assertEqual(set(sweep.frame("/eval/out_of_distribution")["run"]), {"a"})
        self.assertEqual(open_run(self.top / "a").known_tables[-1], "/eval/out_of_distribution")
        with self.assertRaises(KeyError):
            open_sweep(self.top / "b").frame("/eval/out_of_distribution")

    def test_there_is_no_other_table(self) -> None:
        write_run(self.top / "a", epochs=5)
        with self.assertRaisesRegex(KeyError, "no table /eval/training; tables are /train, "):
            open_sweep(self.top).frame("/eval/training")

    def test_thousand_files_within_ten_seconds(self) -> None:
        source = write_run(self.top / "source", "ace", epochs=100) / "run.h5"
        for count in range(1000):
            (self.top / "runs" / f"r{count:04d}").mkdir(parents=True)
            os.link(source, self.top / "runs" / f"r{count:04d}" / "run.h5")
        begin, worked = time.monotonic(), os.times()
        sweep = open_sweep(self.top / "runs")
        runs, curves = sweep.frame(), sweep.frame("/eval/validation")
        took, after = time.monotonic() - begin, os.times()
        seconds = sum(after[:4]) - sum(worked[:4])  # of this process and its children: others' load does not count
        self.assertEqual((len(runs), len(curves)), (1000, 1000 * 20))
        self.assertEqual(runs["run"].nunique(), 1000)
        print(f"1,000 run files to two frames: {took:.1f} s, {seconds:.1f} s of computing", file=sys.stderr)
        self.assertLess(seconds, 10)


class Sweeps(Folder):
    def test_plan_lists_runs_that_have_not_started(self) -> None:
        runs = {"a-1": {"method.name": "ace", "seed": "42"}, "b-2": {"method.name": "strict", "seed": "42"},
                "c-3": {"method.name": "free", "seed": "42"}}
        write_plan(self.top / "sweep", "first", runs)
        write_run(self.top / "sweep/runs/a-1", "ace", epochs=5)
        (self.top / "sweep/attempts").mkdir()
        (self.top / "sweep/attempts/0002.jsonl").write_text(
            '\n{"event":"begin","time":"t"}\n\n{"event":"end","code":12,"message":"loss is NaN in step 7"}\n\n{"eve')
        sweep = open_sweep(self.top / "sweep")
        self.assertEqual(sweep.name, "first")
        self.assertEqual([run.condition for run in sweep.runs], ["complete", "waiting", "failed"])
        self.assertEqual(sweep.runs[0].labels, {"method.name": "ace", "seed": "42"})
        self.assertIn("code 12: loss is NaN in step 7", sweep.runs[2].problems[0])
        self.assertEqual([run.name for run, _ in sweep.named()], ["b-2", "c-3"])
        self.assertEqual((sweep.runs[1].method, sweep.runs[1].seed), ("strict", 42))

    def test_damaged_manifest_is_named_and_its_runs_are_still_found(self) -> None:
        write_plan(self.top / "sweep", "first", {"a-1": {}})
        write_run(self.top / "sweep/runs/a-1", "ace", epochs=5)
        text = (self.top / "sweep/manifest.json").read_text()
        for damaged in (text[:len(text) // 2], "[]", json.dumps({"runs": 3, "name": "x"})):
            (self.top / "sweep/manifest.json").write_text(damaged)
            sweep = open_sweep(self.top / "sweep")
            self.assertIn("is no manifest of a sweep", sweep.problems[0])
            self.assertEqual([run.condition for run in sweep.runs], ["complete"])

    def test_lists_name_each_run_once_and_say_what_is_none(self) -> None:
        write_run(self.top / "a", epochs=5)
        sweep = open_sweep([self.top, self.top / "a" / "run.h5", self.top / "none"])
        self.assertEqual(len(sweep.runs), 1)
        self.assertIn("none: does not exist", sweep.problems[0])
        with self.assertRaisesRegex(FileNotFoundError, "none: does not exist"):
            open_sweep(self.top / "none")

    def test_summary_alone_agrees_with_all_tables(self) -> None:
        write_run(self.top / "a", "ace", epochs=10, status="running", done=0.5, uncommitted=2)
        (brief,), whole = open_runs(find_runs(self.top), tables=()), open_run(self.top / "a")
        self.assertEqual((brief.condition, brief.steps, brief.wall_s, brief.best),
                         (whole.condition, whole.steps, whole.wall_s, whole.best))
        self.assertEqual(brief.wall_s, whole.table("/train")["wall_s"][-1], "rows that are not committed do not count")


@NEEDS
class Comparisons(Folder):
    def setUp(self) -> None:
        super().setUp()
        for method in ("strict", "ace", "ace-resilient"):
            for seed in (42, 43, 44):
                write_run(self.top / f"{method}-{seed}", method, seed, epochs=10)
        write_run(self.top / "ace-45", "ace", 45, epochs=10, status="stopped", done=0.6)

    def test_against_strict_by_seed(self) -> None:
        frame = open_sweep(self.top).frame()
        table = compare(frame, "projected_test").set_index("method")
        values = {method: {int(run["seed"]): run["projected_test"] for _, run in frame.iterrows()
                           if run["method"] == method and run["condition"] == "complete"} for method in ("strict", "ace")}
        whole, test = estimate(list(values["ace"].values())), paired_test(values["ace"], values["strict"])
        row = table.loc["ace"]
        self.assertEqual((row["count"], row["mean"], row["half"]), (3, whole.mean, whole.half))
        self.assertEqual((row["pairs"], row["difference"], row["difference_half"], row["p_t"], row["p_flip"]),
                         (3, test.difference.mean, test.difference.half, test.p_t, test.p_flip))
        self.assertEqual(row["p_flip"], 0.25, "three pairs of one sign: 2 of 8")
        self.assertLess(row["p_t"], 0.05)
        self.assertEqual(table.loc["strict", "pairs"], 0)
        self.assertEqual(row["seeds"], (42, 43, 44), "the stopped run does not count")
        self.assertEqual(compare(frame, incomplete=True).set_index("method").loc["ace", "count"], 4)

    def test_keys_that_vary_make_configurations_with_their_own_baseline(self) -> None:
        for method in ("strict", "ace"):
            write_run(self.top / f"{method}-few", method, 42, epochs=10, train=500)
        frame = open_sweep(self.top).frame()
        self.assertEqual(varying_keys(frame), ["data.train"])
        table = compare(frame)
        few = table[(table["method"] == "ace") & (table["data.train"] == 500)].iloc[0]
        own = frame[(frame["run"] == "ace-few")]["projected_test"].iloc[0]
        base = frame[(frame["run"] == "strict-few")]["projected_test"].iloc[0]
        self.assertEqual(few["difference"], own - base)


if __name__ == "__main__":
    unittest.main()
