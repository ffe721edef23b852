"""From run folders to the page: grouping, baselines, the numbers in tables, and a page that is whole."""
from __future__ import annotations

import re
import subprocess
import tempfile
import unittest
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import support
from stored_runs import write_run
from tether_analysis import open_run
from tether_analysis.grouping import families
from tether_analysis.page import write_page
from tether_analysis.report import command
from tether_analysis.statistics import estimate, paired
from tether_analysis.tables import results, sites_by_price

VOID = {"meta", "br", "input", "rect", "line", "use", "path"}


class WellFormed(HTMLParser):
    """Every tag closed in order, no id twice, nothing fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.outside: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)

    def note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href") and not str(value).startswith("#"):
                self.outside.append(f"{tag} {value}")

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


class Reports(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = Path(temporary.name)

    def runs(self, *wanted: tuple[str, int], **options: object) -> list:
        return [open_run(write_run(self.top / f"{method}-{seed}", method, seed, **{"epochs": 20, **options}))
                for method, seed in wanted]

    def check_page(self, text: str) -> None:
        parser = WellFormed()
        parser.feed(text)
        self.assertEqual((parser.wrong, parser.open, parser.outside), ([], [], []))
        self.assertEqual(len(parser.ids), len(set(parser.ids)), "an id stands twice")
        used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'xlink:href="#([^"]+)"', text))
        self.assertLessEqual(used, set(parser.ids))

    def test_seeds_are_one_group_and_threads_do_not_split_it(self) -> None:
        self.runs(("ace", 42), threads=1)
        self.runs(("ace", 43), threads=2)
        (family,) = families([open_run(self.top / "ace-42"), open_run(self.top / "ace-43")])
        (group,) = family.groups
        self.assertEqual([run.seed for run in group.runs], [42, 43])

    def test_methods_stand_beside_their_strict_baseline(self) -> None:
        runs = self.runs(("ace", 42), ("ace-resilient", 42), ("strict", 42), ("free", 42))
        (family,) = families(runs)
        self.assertEqual([group.label for group in family.groups],
                         ["SEGNN strict", "SEGNN free", "SEGNN ACE", "SEGNN ACE resilient"])
        self.assertIsNone(family.groups[0].baseline)
        self.assertTrue(all(group.baseline is family.groups[0] for group in family.groups[1:]))
        self.assertEqual([group.deployed for group in family.groups], ["projected", "relaxed", "projected", "relaxed"])

    def test_sample_sizes_share_a_table_and_find_their_own_baseline(self) -> None:
        runs = []
        for train in (3000, 9000):
            for method in ("strict", "ace"):
                runs.append(open_run(write_run(self.top / f"{method}{train}", method, epochs=10, train=train)))
        (family,) = families(runs)
        for group in family.groups[2:]:
            self.assertEqual(group.baseline.keys["data.train"], group.keys["data.train"])
            self.assertIn(f"data.train {group.keys['data.train']}", group.label)

    def test_labels_tell_what_differs_and_no_more(self) -> None:
        for name, options in {"a": {"dual": "adam"}, "b": {"dual": "nupi"}, "c": {"dual": "sgd"}}.items():
            write_run(self.top / name, "ace", epochs=10, **options)
        (family,) = families([open_run(self.top / name) for name in "cba"])
        self.assertEqual([group.label for group in family.groups],
                         [f"SEGNN ACE, dual.optimizer {word}" for word in ("adam", "nupi", "sgd")])
        self.assertEqual(family.usual, [])
        for name, options in {"d": {"dual_lr": 8e-4}, "e": {"dual_lr": 1e-4}, "f": {"dual_lr": 8e-4}}.items():
            write_run(self.top / name, "ace", seed=50 + ord(name), epochs=10, **options)
        (family,) = families([open_run(self.top / name) for name in "abdef"])
        self.assertEqual([group.label for group in family.groups],
                         ["SEGNN ACE", "SEGNN ACE, dual.lr 0.0001", "SEGNN ACE, dual.optimizer nupi"])
        self.assertEqual(family.usual, ["SEGNN ACE: dual.lr 0.0008, dual.optimizer adam"])

    def test_keys_that_follow_from_another_are_not_told(self) -> None:
        from tether_analysis.grouping import _differences
        trees = [{"o": "adam", "eps": 1e-8}, {"o": "nupi", "kp": 300.0}, {"o": "sgd"}]
        self.assertEqual(_differences(trees)[0], ["o adam", "o nupi", "o sgd"])
        self.assertEqual(_differences([{"o": "a"}, {"o": "a", "kp": 3}])[0], ["", "kp 3"], "else nothing would tell them")

    def test_result_table_is_the_runs_own_figures(self) -> None:
        seeds = (42, 43, 44)
        runs = self.runs(*[("strict", seed) for seed in seeds], *[("ace", seed) for seed in seeds])
        (family,) = families(runs)
        table = results(family)
        strict = {run.seed: run.best["projected"].test for run in runs[:3]}
        ace = {run.seed: run.best["projected"].test for run in runs[3:]}
        self.assertEqual(table.rows[1][2].sort, estimate(list(ace.values())).mean)
        self.assertEqual(table.rows[1][3].sort, paired(ace, strict).mean)
        self.assertEqual(table.rows[1][3].kind, "better")
        self.assertRegex(table.rows[1][2].text, r"^[34]\.\d+ ± 0\.\d+$")  # x 10^-3
        self.assertEqual([cell.text for cell in table.rows[0][3:6]], ["–"] * 3)

    def test_samples_out_of_distribution_have_a_column_of_their_own(self) -> None:
        runs = self.runs(("strict", 42), ("ace", 42)) + self.runs(("ace", 43), outside=True)
        (family,) = families(runs)
        table = results(family)
        self.assertEqual(table.head[-1].text, "out of distribution")
        self.assertEqual([len(row) for row in table.rows], [len(table.head)] * 2)
        self.assertAlmostEqual(table.rows[1][-1].sort, 1.7 * runs[2].best["projected"].test)
        self.assertEqual(table.rows[0][-1].kind, "missing")
        self.check_page(write_page(runs, [family], "outside"))

    def test_incomplete_runs_do_not_enter_means_and_are_named(self) -> None:
        runs = self.runs(("ace", 42)) + self.runs(("ace", 43), status="stopped", done=0.5)
        (family,) = families(runs)
        table = results(family)
        self.assertEqual(table.rows[0][1].text, "1")
        self.assertTrue(any("ace-43" in note for note in table.notes))
        (family,) = families(runs[1:])
        self.assertTrue(results(family).rows[0][0].text.endswith("*"))

    def test_sites_are_ranked_by_multiplier(self) -> None:
        (run,) = self.runs(("ace", 42))
        (family,) = families([run])
        table = sites_by_price(family.groups[0])
        sizes = [abs(float(row[1].sort)) for row in table.rows]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        quarter = run.table("/constraint")["lambda"][15:]
        self.assertAlmostEqual(sizes[0], np.abs(quarter.mean(axis=0)).max())
        site = run.sites.index(table.rows[0][0].text)
        self.assertAlmostEqual(float(table.rows[0][2].sort), np.ptp(quarter[:, site]) / 2)

    def test_page_over_runs_in_all_states_is_whole(self) -> None:
        runs = self.runs(("strict", 42), ("ace", 42), ("ace", 43), ("ace-resilient", 42), ("free", 42))
        runs += self.runs(("strict", 43), status="failed", done=0.3)
        runs += self.runs(("ace", 44), status="running", done=0.5, uncommitted=1)
        runs += self.runs(("free", 43), done=0.0, status="running", live=True)
        broken = write_run(self.top / "broken<&>", epochs=5)
        (broken / "run.h5").write_bytes(b"nothing")
        runs.append(open_run(broken))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            text = write_page(runs, families(runs), "a <title> & more")
        self.check_page(text)
        for said in ("was killed", "still running", "failed", "cannot be read", "broken&lt;&amp;&gt;", "multiplier λ",
                     "slack u", "equivariance error", "state SHA-256", "a &lt;title&gt; &amp; more"):
            self.assertIn(said, text)

    def test_quantities_that_a_method_lacks_are_not_drawn(self) -> None:
        runs = self.runs(("ace", 42), ("free", 42))
        text = write_page(runs, families(runs), "no slack")
        self.assertIn("multiplier λ", text)
        self.assertNotIn("slack u", text)
        self.assertEqual(len(re.findall(r'id="f0c\d+-figure_1"', text)), 1, "gates held at 1 are no curve")

    def test_page_of_one_run_with_one_evaluation(self) -> None:
        runs = self.runs(("ace", 42), done=0.26, status="stopped")
        self.assertEqual(len(runs[0].table("/eval/validation")), 1)
        self.check_page(write_page(runs, families(runs), "one"))

    def test_numbers_that_are_none_do_not_spoil_a_page(self) -> None:
        import h5py
        folder = write_run(self.top / "bad", "ace", epochs=20)
        with h5py.File(folder / "run.h5", "r+", libver="latest") as file:
            file["/train/loss"][5:] = np.nan
            file["/eval/validation/relaxed"][:] = np.inf
            file["/constraint/gamma"][10:] = np.nan
            file["/symmetry/bound"][:] = np.nan
        run = open_run(folder)
        self.check_page(write_page([run], families([run]), "bad"))

    def test_command_writes_the_page_and_says_where(self) -> None:
        self.runs(("strict", 42), ("ace", 42))
        out = self.top / "report.html"
        done = subprocess.run([support.ROOT / "analysis" / "report", self.top, "--out", out, "--table"],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.splitlines()[-1], f"report {out}")
        self.assertIn("SEGNN ACE", done.stdout)
        self.check_page(out.read_text())

    def test_command_refuses_what_it_cannot_do(self) -> None:
        from contextlib import redirect_stderr
        from io import StringIO
        error = StringIO()
        with redirect_stderr(error):
            self.assertEqual(command([str(self.top / "none"), "--out", str(self.top / "r.html")]), 3)
            self.runs(("ace", 42))
            self.assertEqual(command([str(self.top / "ace-42"), "--out", str(self.top / "no" / "r.html")]), 14)
        self.assertIn("does not exist", error.getvalue())
        self.assertEqual([path.name for path in self.top.iterdir()], ["ace-42"])


if __name__ == "__main__":
    unittest.main()
