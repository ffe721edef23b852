"""Run files in every state they can be found in."""
from __future__ import annotations

import json
import os
import signal
import tempfile
import time
import unittest
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import support  # noqa: F401  (the package's place)
from stored_runs import SITES, write_run
from tether_analysis import Run, find_runs, open_run, open_runs


class RunFiles(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = Path(temporary.name)

    def test_complete_run_is_read_whole(self) -> None:
        run = open_run(write_run(self.top / "a", "ace", seed=43, epochs=20))
        self.assertEqual((run.condition, run.problems, run.seed), ("complete", [], 43))
        self.assertEqual((run.steps, run.total_steps), (600, 600))
        self.assertEqual(run.sites, SITES)
        self.assertEqual(run.table("/constraint")["gamma"].shape, (20, len(SITES)))
        validation, test = run.table("/eval/validation"), run.table("/eval/test")
        best = int(np.argmin(validation["projected"]))
        self.assertEqual(run.best["projected"].step, validation["step"][best])
        self.assertEqual(run.best["projected"].test, test["projected"][best])
        self.assertEqual(run.table("/timing").units["forward"], "s")
        np.testing.assert_allclose(run.epoch_of(np.array([300])), [10])

    def test_run_file_and_folder_name_the_same_run(self) -> None:
        folder = write_run(self.top / "a", epochs=5)
        self.assertEqual(open_run(folder / "run.h5").path, open_run(folder).path)

    def test_rows_beyond_the_counter_are_cut(self) -> None:
        run = open_run(write_run(self.top / "a", epochs=40, status="running", done=0.5, uncommitted=3, live=True))
        self.assertEqual(run.condition, "running")
        self.assertEqual(len(run.table("/train")), 20)
        self.assertEqual(len(run.table("/constraint")["gamma"]), 20)
        self.assertEqual(run.steps, 600)

    def test_live_state_is_newer_than_meta_while_running(self) -> None:
        run = open_run(write_run(self.top / "a", epochs=40, status="running", done=0.5, live=True))
        self.assertGreater(run.best["projected"].step, 0)
        self.assertEqual(len(run.state_sha256), 64)

    def test_running_without_a_holder_is_killed(self) -> None:
        folder = write_run(self.top / "a", epochs=20, status="running", done=0.5)
        self.assertEqual(open_run(folder).condition, "killed")
        write_run(self.top / "b", epochs=20, status="running", done=0.5, live=True)
        lease = json.loads((self.top / "b" / "lease").read_text())
        lease["process_start"] += 1  # the process id was given to somebody else
        (self.top / "b" / "lease").write_text(json.dumps(lease))
        self.assertEqual(open_run(self.top / "b").condition, "killed")

    def test_holder_on_another_machine_counts_by_its_heartbeat(self) -> None:
        folder = write_run(self.top / "a", epochs=20, status="running", done=0.5, live=True)
        lease = json.loads((folder / "lease").read_text())
        lease["host"] = "elsewhere"
        (folder / "lease").write_text(json.dumps(lease))
        self.assertEqual(open_run(folder).condition, "running")
        os.utime(folder / "lease", (0, 0))
        self.assertEqual(open_run(folder).condition, "killed")

    def test_stopped_and_failed_are_named(self) -> None:
        for status in ("stopped", "failed"):
            self.assertEqual(open_run(write_run(self.top / status, epochs=5, status=status)).condition, status)

    def test_truncated_at_any_length_is_named_and_never_fails(self) -> None:
        folder = write_run(self.top / "a", epochs=10)
        before, whole = open_run(folder), (folder / "run.h5").read_bytes()
        for part in (0, 0.01, 0.5, 0.99, 0.999):
            with self.subTest(part=part):
                (folder / "run.h5").write_bytes(whole[:int(part * len(whole))])
                run = open_run(folder)
                if part > 0.99 and run.condition == "complete":  # newer HDF5 reads on; then nothing may be lost
                    for name, table in before.tables.items():
                        for column, values in table.columns.items():
                            np.testing.assert_array_equal(run.table(name)[column], values)
                    continue
                self.assertEqual(run.condition, "unreadable")
                self.assertIn("truncated", run.problems[0])

    def test_damaged_bytes_never_stop_the_reading_of_others(self) -> None:
        good = write_run(self.top / "good", epochs=10)
        whole = (good / "run.h5").read_bytes()
        random = np.random.default_rng(7)
        folders = []
        for count in range(24):
            bent = bytearray(whole)
            for position in random.integers(0, len(bent), 8):
                bent[position] ^= 1 << int(random.integers(8))
            folders.append(self.top / f"bent{count}")
            folders[-1].mkdir()
            (folders[-1] / "run.h5").write_bytes(bent)
        runs = open_runs([*folders, good])
        self.assertEqual([run.path for run in runs], [*folders, good])
        self.assertEqual(runs[-1].condition, "complete")
        self.assertTrue(all(run.problems for run in runs if run.condition == "unreadable"))

    def test_reader_that_hangs_or_dies_is_replaced(self) -> None:
        folders = [write_run(self.top / name, epochs=5) for name in ("a", "b", "c")]

        def reads_badly(path: Path, tables: Sequence[str], summary: bool) -> Run:
            if path.name == "a":
                os.kill(os.getpid(), signal.SIGSEGV)
            if path.name == "b":
                time.sleep(60)
            return open_run(path, tables, summary)

        with mock.patch("tether_analysis.careful.open_run", reads_badly):
            runs = open_runs(folders, patience_s=4)
        self.assertEqual([run.condition for run in runs], ["unreadable", "unreadable", "complete"])
        self.assertIn("crashed", runs[0].problems[0])
        self.assertIn("more than 4 s", runs[1].problems[0])

    def test_folder_without_run_file(self) -> None:
        (self.top / "a").mkdir()
        (self.top / "a" / "job.toml").write_text("")
        run = open_run(self.top / "a")
        self.assertEqual(run.condition, "unreadable")
        self.assertIn("has no run.h5", run.problems[0])

    def test_newer_schema_is_named(self) -> None:
        folder = write_run(self.top / "a", epochs=5)
        with h5py.File(folder / "run.h5", "r+", libver="latest") as file:
            file["meta"].attrs["schema_version"] = 99
        self.assertIn("schema version 99", open_run(folder).problems[0])

    def test_runs_are_found_at_any_depth_up_to_three(self) -> None:
        folders = [write_run(self.top / name, epochs=5) for name in ("a", "s/runs/b", "s/runs/c")]
        self.assertEqual(find_runs(self.top), folders)
        self.assertEqual(find_runs(folders[0] / "run.h5"), folders[:1])
        self.assertEqual(find_runs(self.top / "none"), [])


if __name__ == "__main__":
    unittest.main()
