"""The page of a sweep: its figures, its filters and its sorting, in a real browser where there is one."""
from __future__ import annotations

import re
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path

import browser
import support  # noqa: F401
from stored_runs import write_plan, write_run
from tether_analysis import open_run, open_runs, open_sweep
from tether_analysis.grouping import Family, families
from tether_analysis.report import command
from tether_analysis.sites import late, oscillation
from tether_analysis.sweep_figures import equal_samples, lines, scaling, sensitivity, step_ms, title_of, varying_numbers
from tether_analysis.tables import oscillations, sites_by_price


class Page(HTMLParser):
    """Rows and sections of a rendered page that are shown: text of cells by table, methods of sections."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.sections: list[str] = []
        self.crossed: list[str] = []
        self.row: list[str] | None = None
        self.in_cell = self.in_body = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if tag == "table":
            self.tables.append([])
        elif tag == "tbody":
            self.in_body = True
        elif tag == "tr" and self.in_body:
            self.row = []
            if "hidden" not in facts:
                self.tables[-1].append(self.row)
        elif tag == "td" and self.row is not None:
            self.in_cell = True
            self.row.append("")
        elif tag == "details" and "data-method" in facts and "hidden" not in facts:
            self.sections.append(str(facts["data-method"]))
        elif tag == "li" and facts.get("class") == "off":
            self.crossed.append(str(facts["data-method"]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self.in_body = False
        if tag == "td":
            self.in_cell = False

    def handle_data(self, data: str) -> None:
        if self.in_cell and self.row:
            self.row[-1] += data


class Sweeps(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = Path(temporary.name)

    def family(self) -> Family:
        (found,) = families(open_sweep(self.top, whole=True).runs)
        return found

    def test_key_that_varies_makes_a_line_against_the_baseline(self) -> None:
        for rate in (1e-4, 8e-4, 6e-3):
            write_run(self.top / f"ace-{rate:g}", "ace", 42, epochs=10, dual_lr=rate)
        write_run(self.top / "strict", "strict", 42, epochs=10)
        family = self.family()
        self.assertEqual(varying_numbers(family), ["dual.lr"])
        (line,) = lines(family, "dual.lr")
        self.assertEqual([x for x, _ in line.points], [1e-4, 8e-4, 6e-3])
        self.assertEqual(line.estimates()[1][1].mean, open_run(self.top / "ace-0.0008").best["projected"].test)
        drawn = sensitivity(family, "dual.lr", "f", 1e3, "MSE")
        self.assertEqual([entry.label for entry in drawn.legend], ["SEGNN ACE", "SEGNN strict"])
        self.assertEqual(title_of("dual.lr"), "Sensitivity to the dual step size")

    def test_samples_that_the_baseline_needs(self) -> None:
        # The fixture's error falls as samples^-0.4 with factors 5.6 and 3.9: strict needs (5.6/3.9)^2.5 as many.
        for train in (1000, 3000, 9000):
            for method in ("strict", "ace"):
                write_run(self.top / f"{method}-{train}", method, 42, epochs=40, train=train)
        told = equal_samples(self.family())
        self.assertEqual(len(told), 2, "nothing is said about 9000, which the baseline does not reach")
        need = float(re.search(r"ACE with 1000 samples .* about (\d+)$", told[0]).group(1))
        self.assertAlmostEqual(need / 1000, (5.6 / 3.9) ** 2.5, delta=0.35)

    def test_scaling_is_of_one_job_on_more_workers(self) -> None:
        for threads in (1, 2, 4):
            write_run(self.top / f"t{threads}", "ace", 42, epochs=10, threads=threads)
        family = self.family()
        self.assertEqual(len(family.groups), 1)
        self.assertEqual([entry.label for entry in scaling(family, "x").legend], ["SEGNN ACE, seed 42"])
        self.assertAlmostEqual(step_ms(family.groups[0].runs[0]) / step_ms(family.groups[0].runs[2]), 4, delta=0.1)

    def test_other_seeds_are_no_scaling(self) -> None:
        write_run(self.top / "a", "ace", 42, epochs=10, threads=1)
        write_run(self.top / "b", "ace", 43, epochs=10, threads=2)
        self.assertIsNone(scaling(self.family(), "x"))

    def test_rings_and_points_are_told_apart(self) -> None:
        for dual in ("adam", "undamped"):
            write_run(self.top / dual, "ace", 42, epochs=100, dual=dual)
        rest, ring = (oscillation(group) for group in self.family().groups)
        self.assertLess(rest.ratio, 0.2)
        self.assertGreater(ring.ratio, 0.95)
        self.assertAlmostEqual(ring.late, 1.0, delta=0.1)
        self.assertEqual([row[1].text for row in oscillations(self.family()).rows], ["adam", "undamped"])

    def test_drifting_is_no_oscillation(self) -> None:
        import h5py
        import numpy as np
        folder = write_run(self.top / "a", "ace", 42, epochs=100)
        with h5py.File(folder / "run.h5", "r+", libver="latest") as file:
            gamma = file["/constraint/gamma"]
            gamma[...] = np.linspace(1, 0.2, 100)[:, None] + 1e-3 * np.sin(np.arange(100) * 1.3)[:, None]
        found = oscillation(self.family().groups[0])
        self.assertAlmostEqual(found.late, 1e-3, delta=1e-4)
        self.assertAlmostEqual(found.mean, 0.3, delta=0.01)

    def test_branch_ratios_stand_beside_multipliers(self) -> None:
        import h5py
        import numpy as np
        folder = write_run(self.top / "a", "ace", 42, epochs=20)
        with h5py.File(folder / "run.h5", "r+", libver="latest") as file:
            data = file.create_dataset("/symmetry/branch_ratio", data=np.full((4, 8), 0.25), maxshape=(None, 8), chunks=True)
            data.attrs["units"] = "1"
            data.attrs["long_name"] = "size of the free branch over that of the equivariant one"
        table = sites_by_price(self.family().groups[0])
        self.assertEqual(table.head[-2].text, "branch ratio")
        self.assertEqual({row[-2].sort for row in table.rows}, {0.25})

    def test_late_values_are_means_over_seeds(self) -> None:
        for seed in (42, 43):
            write_run(self.top / str(seed), "ace-resilient", seed, epochs=20)
        found = late(self.family().groups[0].runs)
        runs = open_runs([self.top / "42", self.top / "43"])
        slack = [run.table("/constraint")["slack"][15:].mean(axis=0) for run in runs]
        self.assertAlmostEqual(found.mean("slack")[0], (slack[0][0] + slack[1][0]) / 2)
        self.assertGreater(found.mean("slack")[0], found.mean("slack")[-1], "the first layers have most")


@unittest.skipUnless(browser.BINARY, "there is no chromium (Debian: apt-get install chromium; or CHROMIUM=…)")
class InTheBrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.temporary = tempfile.TemporaryDirectory()
        top = Path(cls.temporary.name)
        plan = {f"{method}-{seed}": {"method.name": method, "seed": str(seed)}
                for method in ("strict", "ace", "ace-resilient", "free") for seed in (42, 43)}
        write_plan(top / "sweep", "methods", plan)
        for name, labels in list(plan.items())[:-1]:
            write_run(top / "sweep/runs" / name, labels["method.name"], int(labels["seed"]), epochs=10)
        write_run(top / "sweep/runs/ace-44", "ace", 44, epochs=10)  # not planned: not shown
        whole = (top / "sweep/runs/free-42/run.h5").read_bytes()
        (top / "sweep/runs/free-42/run.h5").write_bytes(whole[:len(whole) // 2])
        cls.page = top / "report.html"
        assert command([str(top / "sweep"), "--out", str(cls.page)]) == 0

    @classmethod
    def tearDownClass(cls) -> None:
        cls.temporary.cleanup()

    def shown(self, view: str = "") -> Page:
        text, complaints = browser.opened(self.page, view)
        self.assertEqual(complaints, [])
        self.count = re.search(r"<output>(.*?)</output>", text).group(1)
        return Page(text)

    def runs_table(self, page: Page) -> list[str]:
        return [row[0] for table in page.tables for row in table if row and re.fullmatch(r"[a-z-]+-4\d", row[0])]

    def test_everything_is_shown_at_first(self) -> None:
        page = self.shown()
        self.assertEqual(sorted(self.runs_table(page)), sorted(
            f"{method}-{seed}" for method in ("strict", "ace", "ace-resilient", "free") for seed in (42, 43)))
        self.assertEqual(self.count, "8 of 8 runs")
        self.assertEqual(page.crossed, [])
        self.assertIn("<h1>Sweep methods</h1>", self.page.read_text())

    def test_filters_hide_rows_sections_and_curves(self) -> None:
        page = self.shown("#!method=ace")
        self.assertEqual(self.runs_table(page), ["ace-42", "ace-43"])
        self.assertEqual(self.count, "2 of 8 runs")
        self.assertEqual(set(page.sections), {"ace"})
        self.assertEqual(set(page.crossed), {"strict", "ace-resilient"})
        page = self.shown("#!state=waiting")
        self.assertEqual(self.runs_table(page), ["free-43"])
        page = self.shown("#!seed=43&word=resilient")
        self.assertEqual(self.runs_table(page), ["ace-resilient-43"])

    def test_sorting_goes_by_the_numbers_with_missing_ones_last(self) -> None:
        page = self.shown("#!sort=1.3.ascending")
        means = [row[2] for row in page.tables[0]]
        self.assertEqual([row[0] for row in page.tables[0]], ["SEGNN ACE", "SEGNN ACE resilient", "SEGNN strict"])
        self.assertEqual(means, sorted(means, key=lambda text: float(text.split()[0])))
        for direction in ("ascending", "descending"):
            page = self.shown(f"#!sort=1.4.{direction}")
            self.assertEqual(page.tables[0][-1][0], "SEGNN strict", "strict has no difference from itself")

    def test_picture_has_ink_all_over(self) -> None:
        import matplotlib.image
        import numpy as np
        picture = Path(self.temporary.name) / "page.png"
        self.assertEqual(browser.screenshot(self.page, picture, height=3000), [])
        pixels = matplotlib.image.imread(picture)[..., :3]
        self.assertEqual(pixels.shape[:2], (3000, 1200))
        rows = np.any(pixels.min(axis=2) < 0.6, axis=1)
        blank = max(len(part) for part in "".join("#" if row else "." for row in rows).split("#"))
        self.assertLess(blank, 250, "a screenful with nothing on it")
        self.assertGreater(len(np.unique((pixels * 15).astype(int).reshape(-1, 3), axis=0)), 60, "curves have colours")


if __name__ == "__main__":
    unittest.main()
