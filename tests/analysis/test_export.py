"""Exports read back: CSV and Parquet give the frames again, event files every scalar, tables their text."""
from __future__ import annotations

import csv
import importlib.util
import io
import re
import struct
import subprocess
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import support
from stored_runs import SITES, write_run
from tether_analysis import open_run, open_sweep
from tether_analysis.export import command
from tether_analysis.grouping import families
from tether_analysis.markup import latex, latex_text, markdown
from tether_analysis.tables import results
from tether_analysis.tensorboard import crc32c, event_file


def there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def read_events(data: bytes) -> list[tuple[float, int, dict[str, float]]]:
    """(wall time, step, scalars) of each event; a decoder of its own, with every checksum checked."""
    def masked(part: bytes) -> int:
        value = crc32c(part)
        return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF

    def fields(message: bytes) -> list[tuple[int, int | bytes]]:
        out: list[tuple[int, int | bytes]] = []
        at = 0

        def varint() -> int:
            nonlocal at
            value = shift = 0
            while True:
                byte = message[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(message):
            key = varint()
            size = {1: 8, 5: 4}.get(key & 7)
            if key & 7 == 0:
                out.append((key >> 3, varint()))
                continue
            size = varint() if size is None else size
            out.append((key >> 3, message[at:at + size]))
            at += size
        return out

    events, at = [], 0
    while at < len(data):
        length = data[at:at + 8]
        size, = struct.unpack("<Q", length)
        body = data[at + 12:at + 12 + size]
        assert struct.unpack("<I", data[at + 8:at + 12])[0] == masked(length)
        assert struct.unpack("<I", data[at + 12 + size:at + 16 + size])[0] == masked(body)
        at += 16 + size
        found = dict(fields(body))
        scalars = {}
        for _, value in fields(found[5]) if 5 in found else []:
            parts = dict(fields(value))
            scalars[parts[1].decode()] = struct.unpack("<f", parts[2])[0]
        events.append((struct.unpack("<d", found[1])[0], found.get(2, 0), scalars))
    return events


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = Path(temporary.name)

    def runs(self) -> None:
        for method in ("strict", "ace"):
            for seed in (42, 43):
                write_run(self.top / "runs" / f"{method}-{seed}", method, seed, epochs=10)

    def export(self, *forms: str) -> tuple[int, str, str]:
        out, error = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(error):
            code = command([str(self.top / "runs"), "--out", str(self.top / "out"), "--as", ",".join(forms)])
        return code, out.getvalue(), error.getvalue()


@unittest.skipUnless(there("pandas") and there("xarray"), "pandas or xarray is missing")
class Frames(Folder):
    def test_csv_gives_the_frames_again_and_names_units(self) -> None:
        import pandas
        self.runs()
        code, out, error = self.export("csv")
        self.assertEqual((code, error), (0, ""))
        self.assertEqual(out.split(), [str(self.top / "out" / f"{name}.csv") for name in
                                       ("runs", "comparison", "train", "constraint", "validation", "test", "symmetry",
                                        "timing", "columns")])
        sweep = open_sweep(self.top / "runs")
        for name in ("validation", "constraint", "timing"):
            frame = sweep.frame("/eval/validation" if name == "validation" else name)
            with open(self.top / "out" / f"{name}.csv", newline="") as file:
                back = list(csv.DictReader(file))
            self.assertEqual(list(back[0]), list(frame.columns))
            for column in frame.select_dtypes("number"):
                values = [float(row[column]) if row[column] else np.nan for row in back]
                np.testing.assert_array_equal(values, frame[column], column)
        columns = pandas.read_csv(self.top / "out" / "columns.csv").set_index(["file", "column"])
        self.assertEqual(columns.loc[("timing.csv", "forward"), "units"], "s")

    @unittest.skipUnless(there("pyarrow"), "pyarrow is missing (pip install pyarrow)")
    def test_parquet_gives_the_frames_again_with_units(self) -> None:
        import pandas
        import pyarrow.parquet
        self.runs()
        (self.top / "runs" / "waiting").mkdir()
        (self.top / "runs" / "waiting" / "job.toml").write_text('seed = 3\n[model]\nhidden = 5\n[primal]\nbetas = [1, 2]\n')
        self.assertEqual(self.export("parquet")[0], 0)
        frame = open_sweep(self.top / "runs").frame("/eval/validation")
        back = pandas.read_parquet(self.top / "out" / "validation.parquet")
        np.testing.assert_array_equal(back["projected"], frame["projected"])
        schema = pyarrow.parquet.read_schema(self.top / "out" / "timing.parquet")
        self.assertEqual(schema.field("forward").metadata[b"units"], b"s")
        runs = pandas.read_parquet(self.top / "out" / "runs.parquet").set_index("run")
        self.assertEqual(runs.loc["waiting", "model.hidden"], "5")
        self.assertEqual(int(runs.loc["ace-42", "data.train"]), 3000)

    def test_form_that_lacks_its_package_says_which(self) -> None:
        from unittest import mock
        self.runs()
        with mock.patch("tether_analysis.export._missing", lambda forms: ["pyarrow"]):
            code, _, error = self.export("parquet")
        self.assertEqual(code, 2)
        self.assertIn("pyarrow is missing for parquet", error)
        self.assertFalse((self.top / "out").exists())

    def test_bad_input(self) -> None:
        code, _, error = self.export("csv")
        self.assertEqual(code, 3)
        self.assertIn("does not exist", error)
        self.runs()
        (self.top / "out").write_text("a file")
        code, _, error = self.export("csv")
        self.assertEqual(code, 14)
        self.assertIn("cannot write", error)
        with self.assertRaises(SystemExit) as ended:
            self.export("excel")
        self.assertEqual(ended.exception.code, 2)

    def test_figures_for_a_paper(self) -> None:
        write_run(self.top / "runs" / "a", "ace-resilient", 42, epochs=10)
        code, out, _ = self.export("pdf")
        names = [Path(line).name for line in out.splitlines()]
        self.assertEqual(code, 0)
        for name in ("validation", "training", "equivariance-error", "phase-portraits", "slack", "gates-a",
                     "sites-segnn-ace-resilient", "timing"):
            self.assertIn(f"{name}.pdf", names)
        for line in out.splitlines():
            self.assertTrue(Path(line).read_bytes().startswith(b"%PDF"), line)


class EventFiles(Folder):
    def test_checksum_of_the_standard(self) -> None:
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)  # RFC 3720, B.4

    def test_every_scalar_is_there_once(self) -> None:
        run = open_run(write_run(self.top / "a", "ace", epochs=10))
        events = read_events(event_file(run))
        seen = [(step, tag) for _, step, scalars in events for tag in scalars]
        self.assertEqual(len(seen), len(set(seen)))
        rows = {"train": 5 * 10, "constraint": 2 * len(SITES) * 10, "eval": 2 * 2 * 2, "symmetry": 5 * 2, "timing": 9 * 10}
        self.assertEqual(len(seen), sum(rows.values()), "slack is all NaN: left out")
        last = events[-1]
        self.assertEqual(last[1], 300)
        table = run.table("/constraint")
        self.assertEqual(last[2][f"constraint/gamma/{SITES[2]}"], np.float32(table["gamma"][-1, 2]))
        self.assertEqual(last[2]["validation/projected"], np.float32(run.table("/eval/validation")["projected"][-1]))
        begin = events[0][0]
        self.assertEqual(begin, 1769862896.0)  # 2026-01-31T12:34:56Z
        self.assertAlmostEqual(last[0] - begin, run.wall_s, places=4)
        self.assertEqual([event[1] for event in events], sorted(event[1] for event in events))

    @unittest.skipUnless(there("tensorboard"), "tensorboard is missing")
    def test_tensorboard_reads_it(self) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        write_run(self.top / "runs" / "a", "ace", epochs=10)
        self.assertEqual(self.export("tensorboard")[0], 0)
        read = EventAccumulator(str(self.top / "out" / "tensorboard" / "a"))
        read.Reload()
        found = [(event.step, event.value) for event in read.Scalars("train/loss")]
        table = open_run(self.top / "runs" / "a").table("/train")
        self.assertEqual(found, [(int(step), float(np.float32(loss))) for step, loss in zip(table["step"], table["loss"])])

    def test_numbers_beyond_single_precision(self) -> None:
        import h5py
        folder = write_run(self.top / "a", "ace", epochs=10)
        with h5py.File(folder / "run.h5", "r+", libver="latest") as file:
            file["/train/loss"][3] = 1e300
            file["/train/loss"][4] = np.nan
        losses = [event[2]["train/loss"] for event in read_events(event_file(open_run(folder))) if "train/loss" in event[2]]
        self.assertEqual(losses[3], np.inf)
        self.assertTrue(np.isnan(losses[4]))


class Markup(Folder):
    def setUp(self) -> None:
        super().setUp()
        self.runs()
        (family,) = families(open_sweep(self.top / "runs").runs)
        self.table = results(family)

    def test_markdown_has_a_row_each_and_as_many_bars(self) -> None:
        lines = [line for line in markdown(self.table).splitlines() if line.startswith("|")]
        self.assertEqual(len(lines), 2 + 2)
        self.assertEqual({line.count("|") for line in lines}, {len(self.table.head) + 1})
        self.assertIn(f"**{self.table.rows[1][2].text}**", lines[3])

    def test_latex_is_balanced_and_has_no_letter_beyond_ascii(self) -> None:
        text = latex(self.table, "N-body γ & 5 %", "tab:a")
        body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("%"))
        self.assertTrue(body.isascii(), re.findall(r"[^\x00-\x7f]", body))
        self.assertEqual(body.count(r"\begin"), body.count(r"\end"))
        self.assertEqual(body.count("$") % 2, 0)
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        self.assertEqual({len(re.findall(r"(?<!\\)&", row)) for row in rows}, {len(self.table.head) - 1})
        self.assertEqual(latex_text("a_b (×10⁻³) −1.2 ± 0.3"), r"a\_b ($\times10^{-3}$) $-$1.2 $\pm$ 0.3")

    def test_command_writes_both(self) -> None:
        code, out, _ = self.export("markdown", "latex")
        self.assertEqual((code, len(out.splitlines())), (0, 2))
        self.assertIn("| SEGNN ACE |", (self.top / "out" / "results.md").read_text())
        self.assertIn(r"\bottomrule", (self.top / "out" / "results.tex").read_text())

    @unittest.skipUnless(there("pandas"), "pandas is missing")
    def test_script_starts_under_a_python_that_has_what_it_needs(self) -> None:
        done = subprocess.run([support.ROOT / "analysis" / "export", self.top / "runs", "--out", self.top / "x", "--as",
                               "markdown"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.strip(), str(self.top / "x" / "results.md"))


if __name__ == "__main__":
    unittest.main()
