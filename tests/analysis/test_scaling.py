"""A file of slurm/multi_node_benchmark, written by its own writer, becomes a section of the page."""
from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import io
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import h5py
import support
from stored_runs import write_run
from tether_analysis.report import command
from tether_analysis.scaling_file import is_scaling, read_scaling


def written(folder: Path) -> Path:
    """Two points of strong, three of weak scaling, the second out of order."""
    loader = importlib.machinery.SourceFileLoader("multi_node_benchmark", str(support.ROOT / "slurm/multi_node_benchmark"))
    spec = importlib.util.spec_from_loader("multi_node_benchmark", loader)
    assert spec is not None
    program = importlib.util.module_from_spec(spec)
    loader.exec_module(program)
    job = folder / "job.toml"
    job.write_text('name = "a & b"\n')
    given = argparse.Namespace(job=job, set=[], steps=10, tether="/bin/echo")

    def point(ranks: int, ms: float) -> tuple[SimpleNamespace, dict[str, object]]:
        split = dict.fromkeys(program.SPLIT, ms / 6)
        return (SimpleNamespace(ranks=ranks, nodes=ranks),
                {"threads": 2, "batch": 100, "step_ms": {"median": ms, "min": 0.9 * ms, "max": 1.3 * ms}, "split_ms": split})

    out = folder / "scaling.h5"
    program.write(out, given, {"strong": [point(1, 8.0), point(2, 5.0)], "weak": [point(1, 8.0), point(4, 10.0), point(2, 8.5)]})
    return out


class Scaling(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def report(self, *words: Path) -> tuple[int, str, str]:
        page, told = self.folder / "page.html", io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(told):
            code = command([str(word) for word in words] + ["--out", str(page)])
        return code, page.read_text() if page.exists() else "", told.getvalue()

    def test_points_are_read_in_the_order_of_ranks(self) -> None:
        measured = read_scaling(written(self.folder))
        self.assertEqual(list(measured.series["weak"]["ranks"]), [1, 2, 4])
        self.assertAlmostEqual(measured.series["strong"]["efficiency"][1], 8 / 5 / 2)
        self.assertAlmostEqual(measured.series["weak"]["efficiency"][2], 0.8)

    def test_the_page_of_a_measurement_alone_and_beside_runs(self) -> None:
        file = written(self.folder)
        code, page, told = self.report(file)
        self.assertEqual((code, told), (0, ""))
        for part in ("Scaling: scaling.h5", "80 %", "1 measurement of scaling", "a &amp; b", "<svg"):
            self.assertIn(part, page)
        self.assertNotIn('id="provenance"', page)
        run = write_run(self.folder / "runs", "strict", 1)
        code, page, _ = self.report(run, file)
        self.assertEqual(code, 0)
        self.assertIn("Scaling: scaling.h5", page)
        self.assertIn('id="provenance"', page)

    def test_what_is_none_or_broken_is_named(self) -> None:
        self.assertFalse(is_scaling(self.folder / "nowhere.h5"))
        file = written(self.folder)
        with h5py.File(file, "r+") as broken:
            del broken["strong/batch"]
        code, page, told = self.report(file)
        self.assertEqual((code, page), (3, ""))
        self.assertIn("scaling.h5", told)


if __name__ == "__main__":
    unittest.main()
