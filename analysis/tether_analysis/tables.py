"""Tables of a report as plain data: what is computed is separate from how a page writes it.

A Cell's text carries as many digits as its interval allows; `sort` is the number behind it.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .grouping import Family, Group
from .run_file import Run
from .sites import late, oscillation
from .statistics import Estimate, estimate, paired_test
from .style import Array, power_of_ten

# How the field writes these figures; others stay as they are.
EXPONENT = {"nbody": -3, "mocap": -2, "gravity": -3}


@dataclass(frozen=True)
class Cell:
    text: str
    sort: float | str = ""
    kind: str = ""  # number, text, deployed, better, worse, missing
    title: str = ""


@dataclass
class TableText:
    head: list[Cell]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facets: list[dict[str, str]] = field(default_factory=list)  # of each row, what a reader filters by

    def add(self, row: list[Cell], facets: dict[str, str]) -> None:
        self.rows.append(row)
        self.facets.append(facets)


def facets_of_run(run: Run) -> dict[str, str]:
    return {"model": run.model, "method": run.method, "seed": str(run.seed), "state": run.condition}


def facets_of(group: Group, runs: Sequence[Run] | None = None) -> dict[str, str]:
    """Of a configuration, or of some of its runs; several values are separated by blanks."""
    runs = group.runs if runs is None else runs
    return {"model": group.model, "method": group.method,
            "seed": " ".join(sorted({str(run.seed) for run in runs}, key=lambda text: (len(text), text))),
            "state": " ".join(sorted({run.condition for run in runs}))}


MISSING = Cell("–", math.inf, "missing")


def scale_of(family: Family) -> tuple[float, str]:
    """What figures are multiplied by, and their label with the power of ten and units."""
    words = family.metric.replace("_", " ").split()
    is_error = any(word.lower() in ("mse", "mae", "rmse", "loss", "error") for word in words)
    exponent = EXPONENT.get(family.data, 0) if is_error else 0
    label = " ".join(word.upper() if word.lower() in ("mse", "mae", "rmse") else word for word in words)
    parts = [f"×{power_of_ten(exponent)}"] if exponent else []
    if family.units not in ("1", ""):
        parts.append(family.units)
    return 10.0**-exponent, label + (f" ({' '.join(parts)})" if parts else "")


def number(value: float, digits: int = 4) -> str:
    if not math.isfinite(value):
        return "not finite" if not math.isnan(value) else "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        exponent = math.floor(math.log10(abs(value)))
        return f"{value / 10.0**exponent:.{digits - 2}f}·{power_of_ten(exponent)}".replace("-", "−")
    return f"{value:#.{digits}g}".rstrip(".").replace("-", "−")


def thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def with_interval(value: Estimate, sign: bool = False) -> str:
    """Mean ± half width, both to the second digit of the half width."""
    if value.count == 0:
        return "–"
    plus = "+" if sign and value.mean > 0 else ""
    if value.count == 1 or not value.half > 0:
        return plus + number(value.mean)
    decimals = min(max(0, 1 - math.floor(math.log10(value.half))), 6)
    return f"{plus}{value.mean:.{decimals}f} ± {value.half:.{decimals}f}".replace("-", "−")


def duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "–"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def probability(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _against(group: Group, mode: str, scale: float) -> Cell:
    if group.baseline is None:
        return MISSING
    base = group.baseline.best_by_seed("projected")
    test = paired_test(group.best_by_seed(mode), base)
    change = test.difference
    if change.count == 0:
        return Cell("no seed in common", math.inf, "missing")
    common = sorted(group.best_by_seed(mode).keys() & base.keys())
    decided = change.count > 1 and abs(change.mean) > change.half
    text = f"{with_interval(change.scaled(scale), sign=True)} ({100 * test.relative:+.0f} %)".replace("-", "−")
    seeds = ", ".join(str(seed) for seed in common)
    return Cell(text, change.mean, ("better" if change.mean < 0 else "worse") if decided else "number",
                f"paired by seed with {group.baseline.label}: seed {seeds}; p = {probability(test.p_t)} (Student's t), "
                f"{probability(test.p_flip)} (sign flips)")


def _probability_cell(group: Group) -> Cell:
    if group.baseline is None:
        return MISSING
    test = paired_test(group.best_by_seed(group.deployed), group.baseline.best_by_seed("projected"))
    if test.difference.count < 2:
        return MISSING
    return Cell(probability(test.p_t), test.p_t, "number", f"{test.difference.count} pairs; by sign flips "
                f"{probability(test.p_flip)}, which cannot fall below {2 / 2**test.difference.count:.2g}")


def results(family: Family) -> TableText:
    """One row per configuration: test figures of the checkpoint that is best on validation."""
    scale, label = scale_of(family)
    out = TableText([Cell("configuration", kind="text"), Cell("seeds"), Cell(f"projected, test {label}"),
                     Cell("projected against strict"), Cell(f"relaxed, test {label}"), Cell("relaxed against strict"),
                     Cell("p"),
                     Cell("parameters"), Cell("with branches"), Cell("run time")])
    outside = any(group.outside_by_seed() for group in family.groups)
    if outside:
        out.head.append(Cell("out of distribution"))
    for group in family.groups:
        row = [Cell(group.label + ("*" if group.provisional else ""), group.label, "text")]
        seeds = sorted({run.seed for run in group.counted()})
        row.append(Cell(str(len(seeds)), len(seeds), "number", "seed " + ", ".join(map(str, seeds))))
        for mode in ("projected", "relaxed"):
            if mode == "relaxed" and not group.has_branches:
                row += [MISSING, MISSING]
                continue
            value = estimate(list(group.best_by_seed(mode).values()))
            row.append(Cell(with_interval(value.scaled(scale)), value.mean,
                            "deployed" if group.deployed == mode else "number") if value.count else MISSING)
            row.append(_against(group, mode, scale))
        first = group.runs[0]
        equivariant = int(first.meta.get("parameters_equivariant", 0))
        free = int(first.meta.get("parameters_free", 0))
        wall = estimate([run.wall_s for run in group.counted()]).mean
        row += [_probability_cell(group), Cell(thousands(equivariant), equivariant, "number"),
                Cell(thousands(equivariant + free), equivariant + free, "number") if free else MISSING,
                Cell(duration(wall), wall, "number")]
        if outside:
            value = estimate(list(group.outside_by_seed().values()))
            row.append(Cell(with_interval(value.scaled(scale)), value.mean, "number") if value.count else MISSING)
        out.add(row, facets_of(group))
    _result_notes(family, out)
    return out


def _result_notes(family: Family, out: TableText) -> None:
    out.notes.append("Each figure is read on the test split at the evaluation that is best on validation, chosen for "
                     "projected and relaxed separately. Bold: the evaluation the method is deployed with.")
    out.notes += [f"Where nothing else is said, {text}." for text in family.usual]
    if any(len(group.counted()) > 1 for group in family.groups):
        out.notes.append("±: half the 95 % interval of the mean over seeds (Student's t).")
    if any(group.baseline for group in family.groups):
        out.notes.append("Against strict: difference paired by seed; coloured where its 95 % interval leaves out 0. "
                         "p: of the deployed evaluation, Student's t over the pairs, two-sided.")
    for group in family.groups:
        if group.baseline is None:
            continue
        other = [name for name in ("train.epochs", "data.batch", "data.train", "primal.lr")
                 if group.keys.get(name) != group.baseline.keys.get(name)]
        if other:
            told = ", ".join(f"{name} {group.baseline.keys.get(name)}" for name in other)
            out.notes.append(f"The baseline of {group.label} was trained with another budget: {told}.")
    if any(group.provisional for group in family.groups):
        out.notes.append("* no run of this configuration is complete; its figures are those so far.")
    left_out = [run.name for group in family.groups if not group.provisional
                for run in group.runs if run.condition != "complete"]
    if left_out:
        out.notes.append("Not counted in the means, because not complete: " + ", ".join(left_out) + ".")


def _range(values: Array) -> str:
    last = values[-1]
    low, high = number(float(np.min(last)), 2), number(float(np.max(last)), 2)
    return low if low == high else f"{low} … {high}"


def runs_table(family: Family) -> TableText:
    """One row per run: how far it is, its best figures, where its gates and multipliers are."""
    scale, label = scale_of(family)
    out = TableText([Cell("run", kind="text"), Cell("configuration", kind="text"), Cell("seed"),
                     Cell("state", kind="text"), Cell("steps"),
                     Cell(f"best validation {label}, projected"), Cell("at step"), Cell("test, projected"),
                     Cell("test, relaxed"), Cell("γ at the end"), Cell("λ at the end"), Cell("time")])
    for group in family.groups:
        for run in group.runs:
            out.add(_run_row(group, run, scale), facets_of(group, [run]))
    return out


def others_table(runs: Sequence[Run]) -> TableText:
    """Runs without figures: waiting, only started, or not to be read."""
    out = TableText([Cell("run", kind="text"), Cell("state", kind="text"), Cell("model", kind="text"),
                     Cell("method", kind="text"), Cell("seed"), Cell("in the sweep", kind="text"),
                     Cell("what is known", kind="text")])
    for run in runs:
        labels = ", ".join(f"{name} {value}" for name, value in run.labels.items()) or "–"
        row = [Cell(text, text, "text") for text in (run.name, run.condition, run.model, run.method)]
        row += [Cell(str(run.seed) if run.seed >= 0 else "–", run.seed, "number"), Cell(labels, labels, "text"),
                Cell("; ".join(run.problems) or "–", kind="text")]
        out.add(row, facets_of_run(run))
    return out


def _run_row(group: Group, run: Run, scale: float) -> list[Cell]:
    planned = f" of {thousands(run.total_steps)}" if run.total_steps else ""
    row = [Cell(run.name, run.name, "text", str(run.path)), Cell(group.label, group.label, "text"),
           Cell(str(run.seed), run.seed, "number"),
           Cell(run.condition, run.condition, "text"),
           Cell(thousands(run.steps) + (planned if run.steps != run.total_steps else ""), run.steps,
                "number")]
    best = run.best.get("projected")
    if best is None or best.step < 0:
        row += [MISSING, MISSING, MISSING]
    else:
        row += [Cell(number(best.validation * scale), best.validation, "number"),
                Cell(thousands(best.step), best.step, "number"),
                Cell(number(best.test * scale), best.test, "number")]
    relaxed = run.best.get("relaxed")
    row.append(Cell(number(relaxed.test * scale), relaxed.test, "number")
               if relaxed is not None and relaxed.step >= 0 and group.has_branches else MISSING)
    table = run.table("/constraint")
    for column in ("gamma", "lambda"):
        values = table.get(column)
        shown = group.has_branches and len(table) and values.ndim == 2 and values.shape[1] > 0
        row.append(Cell(_range(values), float(np.max(np.abs(values[-1]))), "number") if shown else MISSING)
    row.append(Cell(duration(run.wall_s), run.wall_s, "number"))
    return row


def sites_by_price(group: Group) -> TableText | None:
    """Sites of a configuration by the size of their multiplier late in training: where symmetry is expensive."""
    found = late(group.counted())
    if found is None:
        return None
    columns = list(found.means)
    names = {"lambda": "λ", "gamma": "γ", "slack": "u", "branch_ratio": "branch ratio"}
    out = TableText([Cell("site", kind="text")] + [cell for column in columns for cell in
                                                   (Cell(names[column]), Cell(f"swing of {names[column]}"))])
    for site in found.ranked():
        row = [Cell(found.sites[site], found.sites[site], "text")]
        for column in columns:
            row += [Cell(number(float(values[site]), 3), float(values[site]), "number")
                    for values in (found.mean(column), found.swing(column))]
        out.add(row, facets_of(group))
    return out


def oscillations(family: Family) -> TableText | None:
    """Do the gates come to rest? Swings of γ in the second and in the last quarter of training."""
    out = TableText([Cell("configuration", kind="text"), Cell("dual", kind="text"), Cell("|γ| late"),
                     Cell("swing, 2nd quarter"), Cell("swing, last quarter"), Cell("ratio")])
    for group in family.groups:
        found = oscillation(group)
        if found is None:
            continue
        dual = str(group.keys.get("dual.optimizer", "–"))
        out.add([Cell(group.label, group.label, "text"), Cell(dual, dual, "text")] +
                [Cell(number(value, 3), value, "number") for value in (found.mean, found.early, found.late, found.ratio)],
                facets_of(group))
    if out.rows:
        out.notes.append("|γ| late: size of each gate's average over the last quarter. A swing that stays "
                         "(ratio near 1) is a limit cycle that nothing damps; what is damped comes to rest (ratio near 0).")
    return out if out.rows else None
