"""What gates, multipliers and slacks do late in training, by site. Under an equality constraint they may
circle for ever about the value that counts (methods: the time average is right), so late values are a
mean and a swing (half the range) over the last quarter of the rows, not the last row.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .grouping import Group
from .run_file import Run, Table
from .style import Array

COLUMNS = ("lambda", "gamma", "slack", "branch_ratio")  # of whatever table has a column a site
LATE = 0.25


def _stretch(run: Run, column: str, begin: float, end: float) -> Array | None:
    """Rows of a part of training [rows, sites]; None where there is nothing but NaN."""
    table = next((table for table in run.tables.values() if column in table.columns), Table())
    values = np.asarray(table.get(column), dtype=float)
    if values.ndim != 2 or values.size == 0 or values.shape[1] != len(run.sites):
        return None
    first = min(int(begin * len(values)), len(values) - 1)
    part = values[first:max(first + 1, round(end * len(values)))]
    part = np.where(np.isfinite(part), part, np.nan)
    return part if len(part) and np.any(np.isfinite(part)) else None


def _mean(part: Array) -> Array:
    counts = np.sum(np.isfinite(part), axis=0)
    return np.divide(np.nansum(part, axis=0), counts, out=np.full(part.shape[1], np.nan), where=counts > 0)


def _swing(part: Array) -> Array:
    low = np.min(np.where(np.isfinite(part), part, np.inf), axis=0)
    high = np.max(np.where(np.isfinite(part), part, -np.inf), axis=0)
    return np.where(np.isfinite(low) & np.isfinite(high), (high - low) / 2, np.nan)


@dataclass
class Late:
    """Of one group: by column the runs' means [runs, sites] and swings over the last quarter."""

    sites: list[str]
    means: dict[str, Array] = field(default_factory=dict)
    swings: dict[str, Array] = field(default_factory=dict)

    def mean(self, column: str) -> Array:
        return _mean(self.means[column])

    def swing(self, column: str) -> Array:
        return _mean(self.swings[column])

    def ranked(self) -> NDArray[np.intp]:
        """Sites by the size of their multiplier, the dearest first."""
        return np.argsort(-np.abs(np.nan_to_num(self.mean("lambda"))), kind="stable")


def late(runs: Sequence[Run]) -> Late | None:
    """Over runs with the same sites; None where no multiplier ever moved."""
    runs = [run for run in runs if run.sites and len(run.table("/constraint"))]
    if not runs:
        return None
    runs = [run for run in runs if run.sites == runs[0].sites]
    out = Late(runs[0].sites)
    for column in COLUMNS:
        parts = [part for run in runs if (part := _stretch(run, column, 1 - LATE, 1)) is not None]
        if parts and any(np.any(np.nan_to_num(part) != 0) for part in parts):
            out.means[column] = np.array([_mean(part) for part in parts])
            out.swings[column] = np.array([_swing(part) for part in parts])
    return out if "lambda" in out.means else None


def _about_its_course(part: Array) -> Array:
    """A part of training less the straight line through it: drifting is no oscillation."""
    x = np.arange(len(part), dtype=float)
    out = np.full_like(part, np.nan)
    for site, values in enumerate(part.T):
        known = np.isfinite(values)
        if known.sum() >= 3:
            out[known, site] = values[known] - np.polyval(np.polyfit(x[known], values[known], 1), x[known])
    return out


@dataclass(frozen=True)
class Oscillation:
    """Mean over sites and runs of the swing of γ about its course in the second and the last quarter of training.
    In a limit cycle they are equal; damped oscillation leaves little of the first."""

    early: float
    late: float
    mean: float  # of |γ averaged over the last quarter|

    @property
    def ratio(self) -> float:
        return self.late / self.early if self.early > 0 else float("nan")


def oscillation(group: Group) -> Oscillation | None:
    runs = [run for run in group.counted() if len(run.table("/constraint")) >= 24]
    early = [part for run in runs if (part := _stretch(run, "gamma", 0.25, 0.5)) is not None]
    end = [part for run in runs if (part := _stretch(run, "gamma", 1 - LATE, 1)) is not None]
    if not early or not end or late(runs) is None:
        return None
    swings = [float(np.nanmean([np.nanmean(_swing(_about_its_course(part))) for part in parts])) for parts in (early, end)]
    return Oscillation(swings[0], swings[1], float(np.nanmean([np.nanmean(np.abs(_mean(part))) for part in end])))
