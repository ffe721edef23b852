"""Configurations compared over seeds: from a frame with one row a run to one row a configuration, with
mean, 95 % interval, and the paired difference from a baseline. What `analysis/report` prints per task
is the same arithmetic (statistics); this is the form for notebooks, tables and scripts.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .grouping import NOT_NUMBERS
from .statistics import estimate, paired_test

if TYPE_CHECKING:
    import pandas as pd

STANDARD = ("data", "model", "method")
SAME_MEANING = ("data.set", "data.file", "model.name", "method.name", "method.constraint")  # said by STANDARD


def varying_keys(frame: pd.DataFrame) -> list[str]:
    """Keys of the job that differ between runs of one data set, model and method: what the runs vary besides
    the seed."""
    keys = [name for name in frame.columns if "." in name and not name.startswith("label.")
            and name.split(".")[0] not in NOT_NUMBERS and name not in SAME_MEANING]
    groups = [part for _, part in frame.groupby(list(STANDARD), observed=True)]
    return [key for key in keys if any(part[key].astype(str).nunique(dropna=False) > 1 for part in groups)]


def _matches(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in wanted.items())


def _baseline_of(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], by: Sequence[str],
                 baseline: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of the same data and model, the baseline whose other keys agree most."""
    if _matches(row, baseline):
        return None
    fixed = [name for name in ("data", "model") if name in by and name not in baseline]
    candidates = [other for other in rows if _matches(other, baseline)
                  and all(other[name] == row[name] for name in fixed)]
    return max(candidates, key=lambda other: sum(str(other[name]) == str(row[name]) for name in by), default=None)


def compare(frame: pd.DataFrame, value: str = "deployed_test", by: Sequence[str] | None = None,
            baseline: Mapping[str, Any] | None = None, incomplete: bool = False) -> pd.DataFrame:
    """One row a configuration of a frame as `Sweep.frame()` gives it.

    by        the columns that make a configuration; default data, model, method and the keys that vary
    baseline  what its baseline is, as column and value; default {"method": "strict"}
    incomplete  whether runs count that are not complete

    Columns: those of `by`, count, mean, half (of the 95 % interval), seeds, and against the baseline, paired by
    seed: pairs, difference, difference_half, relative, p_t (Student's t), p_flip (exact sign flips). NaN where
    there is no baseline or no common seed. Smaller is better for errors; the sign is value - baseline.
    """
    import pandas as pd

    baseline = {"method": "strict"} if baseline is None else baseline
    counted = frame if incomplete else frame[frame["condition"] == "complete"]
    columns = [*STANDARD, *varying_keys(counted)] if by is None else list(by)
    found: dict[str, dict[str, Any]] = {}
    for _, run in counted.iterrows():
        key = str([str(run[name]) for name in columns])
        row = found.setdefault(key, {**{name: run[name] for name in columns}, "_values": {}})
        row["_values"][int(run["seed"])] = float(run[value])
    rows = list(found.values())
    out = []
    for row in rows:
        whole = estimate(list(row["_values"].values()))
        line = {name: row[name] for name in columns} | {"count": whole.count, "mean": whole.mean, "half": whole.half,
                                                        "seeds": tuple(sorted(row["_values"]))}
        base = _baseline_of(row, rows, columns, baseline)
        test = paired_test(row["_values"], base["_values"] if base else {})
        line |= {"pairs": test.difference.count, "difference": test.difference.mean,
                 "difference_half": test.difference.half, "relative": test.relative, "p_t": test.p_t,
                 "p_flip": test.p_flip}
        out.append(line)
    table = pd.DataFrame(out, columns=[*columns, "count", "mean", "half", "seeds", "pairs", "difference",
                                       "difference_half", "relative", "p_t", "p_flip"])
    unit = frame.attrs.get("units", {}).get(value, "1")
    table.attrs["units"] = {name: unit for name in ("mean", "half", "difference", "difference_half")}
    table.attrs["value"] = value
    return table
