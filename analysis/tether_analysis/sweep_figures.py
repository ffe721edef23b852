"""Figures of what a sweep varies: the metric against any key that is a number (the dual step size, the
number of training samples), and the time of a step against the number of workers. A line connects
configurations that agree in everything else.
"""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from . import style
from .grouping import METHODS, MODELS, Family, Group, value_text
from .run_file import Run
from .statistics import Estimate, estimate

SAMPLES = "data.train"
TITLES = {SAMPLES: "Sample efficiency", "dual.lr": "Sensitivity to the dual step size",
          "primal.lr": "Sensitivity to the primal step size"}
AXES = {SAMPLES: "training samples", "dual.lr": "dual step size", "primal.lr": "primal step size"}


def title_of(key: str) -> str:
    return TITLES.get(key, f"Sensitivity to {key}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def varying_numbers(family: Family) -> list[str]:
    """Keys that are numbers and take several values within one model and method."""
    found: dict[tuple[str, str, str], set[float]] = {}
    for group in family.groups:
        for key, value in group.keys.items():
            if _is_number(value):
                found.setdefault((group.model, group.method, key), set()).add(float(value))
    return sorted({key for (_, _, key), values in found.items() if len(values) > 1},
                  key=lambda key: (list(TITLES).index(key) if key in TITLES else len(TITLES), key))


@dataclass
class Line:
    """Configurations that differ in one key only, by its value."""

    label: str
    model: str
    method: str
    points: list[tuple[float, Group]]

    def estimates(self) -> list[tuple[float, Estimate]]:
        """The test metric of the deployed evaluation."""
        pairs = [(x, estimate(list(group.best_by_seed(group.deployed).values()))) for x, group in self.points]
        return [(x, value) for x, value in pairs if value.count]


def lines(family: Family, key: str) -> list[Line]:
    found: dict[str, Line] = {}
    for group in family.groups:
        if not _is_number(group.keys.get(key)):
            continue
        rest = {name: value for name, value in group.keys.items() if name != key}
        place = json.dumps([group.model, group.method, rest], sort_keys=True, default=str)
        line = found.setdefault(place, Line("", group.model, group.method, []))
        line.points.append((float(group.keys[key]), group))
    drawn = [line for line in found.values() if line.estimates()]
    lined = {(line.model, line.method) for line in drawn if len(line.points) > 1}
    # Of a method with a line, what lies beside it differs in other keys: it has its own figure.
    # Of other methods single points are shown where the key is one of the task, which all methods have.
    drawn = [line for line in drawn if len(line.points) > 1
             or (key.startswith("data.") and (line.model, line.method) not in lined)]
    for line in drawn:
        line.points.sort(key=lambda point: point[0])
        alike = [other for other in drawn if (other.model, other.method) == (line.model, line.method)]
        varying = [name for name in sorted({name for other in alike for name in other.points[0][1].keys}) if name != key
                and len({str(other.points[0][1].keys.get(name)) for other in alike}) > 1]
        told = ", ".join(f"{name} {value_text(line.points[0][1].keys[name])}" for name in varying if name in line.points[0][1].keys)
        name = f"{MODELS.get(line.model, line.model)} {METHODS.get(line.method, line.method)}"
        line.label = name + (f", {told}" if told else "")
    return drawn


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    """Ticks at the values themselves, which are few."""
    axes.set_xscale("log")
    ticks = sorted(set(values))
    if len(ticks) <= 12:
        axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: value_text(float(value))))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()


def _looks(drawn: Sequence[Line]) -> Mapping[int, tuple[str, str]]:
    """Colour and kind of line."""
    out: dict[int, tuple[str, str]] = {}
    used = {True: 0, False: 0}
    for line in drawn:
        strict = line.method == "strict"
        colours = (style.BASELINE,) if strict else style.CYCLE
        out[id(line)] = (colours[used[strict] % len(colours)], ("-", "--", ":", "-.")[used[strict] // len(colours) % 4])
        used[strict] += 1
    return out


def sensitivity(family: Family, key: str, name: str, scale: float, label: str) -> style.Picture | None:
    """Test metric against one key; baselines that the key does not reach are levels."""
    drawn = lines(family, key)
    several = [line for line in drawn if len(line.points) > 1]
    if not several:
        return None
    figure, (axes,) = style.new_figure(height=3.6)
    looks = _looks(drawn)
    xs = [x for line in drawn for x, _ in line.points]
    for number, line in enumerate(drawn):
        series = f"s{number}"
        colour, kind = looks[id(line)]
        x = np.array([point for point, _ in line.estimates()])
        values = [value.scaled(scale) for _, value in line.estimates()]
        mean = np.array([value.mean for value in values])
        half = np.nan_to_num(np.array([value.half for value in values]))
        (curve,) = axes.plot(x, mean, color=colour, linestyle=kind, marker="o", markersize=4.5, label=line.label)
        style.mark(curve, series, axes)
        bars = axes.vlines(x, mean - half, mean + half, color=colour, linewidth=1.3)
        style.mark(bars, series, axes)
        for place, group in line.points:
            for value in group.best_by_seed(group.deployed).values():
                (dot,) = axes.plot([place], [value * scale], marker=".", markersize=4, color=colour, alpha=0.55)
                style.mark(dot, series, axes)
    on_lines = {id(group) for line in drawn for _, group in line.points}
    baselines = list(dict.fromkeys(group.baseline for line in several for _, group in line.points
                                   if group.baseline is not None and id(group.baseline) not in on_lines))
    for number, group in enumerate(baselines):
        level = estimate(list(group.best_by_seed("projected").values()))
        if level.count:
            (curve,) = axes.plot([min(xs), max(xs)], [level.mean * scale] * 2, color=style.BASELINE,
                                 linestyle=("--", ":", "-.")[number % 3], label=group.label)
            style.mark(curve, f"s{len(drawn) + number}", axes)
    if min(xs) > 0 and max(xs) >= 4 * min(xs):
        _log_axis(axes, xs)
    else:
        axes.set_xticks(sorted(set(xs))) if len(set(xs)) <= 12 else None
    if key == SAMPLES:
        style.log_axis(axes)
    axes.set_xlabel(AXES.get(key, key))
    axes.set_ylabel(f"test {label}")
    return style.picture(figure, name, title_of(key))


def equal_samples(family: Family) -> list[str]:
    """With how many samples the baseline would do as well, where its own line reaches so far (log-log between its
    points; nothing is extrapolated)."""
    drawn = lines(family, SAMPLES)
    out = []
    for line in drawn:
        if line.method == "strict":
            continue
        base = next((other for other in drawn if other.method == "strict" and other.model == line.model
                     and len(other.estimates()) > 1), None)
        if base is None:
            continue
        x = np.log([point for point, _ in base.estimates()])
        y = np.log([value.mean for _, value in base.estimates()])
        for samples, value in line.estimates():
            reached = _crossing(x, y, math.log(value.mean))
            if reached is not None:
                needed = float(f"{math.exp(reached):.2g}")
                out.append(f"{line.label} with {samples:g} samples does as well as {base.label} with about {needed:.0f}")
    return out


def _crossing(x: style.Array, y: style.Array, level: float) -> float | None:
    for left, right, low, high in zip(x[:-1], x[1:], y[:-1], y[1:]):
        if min(low, high) <= level <= max(low, high) and low != high:
            return float(left + (right - left) * (level - low) / (high - low))
    return None


def step_ms(run: Run) -> float:
    """Time of a training step without evaluations and checkpoints."""
    table = run.table("/timing")
    if len(table) == 0 or float(table["step"][-1]) <= 0:
        return float("nan")
    spent = float(np.nansum(table.get("total")) - np.nansum(table.get("evaluate")) - np.nansum(table.get("checkpoint")))
    return 1e3 * spent / float(table["step"][-1])


def workers(run: Run) -> int:
    return int(run.meta.get("ranks", 1)) * int(run.meta.get("threads", 1))


def scaling(family: Family, name: str) -> style.Picture | None:
    """Time of a step against ranks × threads for the same job (seed and all), beside the ideal."""
    measured: list[tuple[str, dict[int, list[float]]]] = []
    for group in family.groups:
        for seed in sorted({run.seed for run in group.runs}):
            times: dict[int, list[float]] = {}
            for run in group.runs:
                if run.seed == seed and math.isfinite(spent := step_ms(run)) and spent > 0:
                    times.setdefault(workers(run), []).append(spent)
            if len(times) > 1:
                measured.append((f"{group.label}, seed {seed}", times))
    if not measured:
        return None
    figure, (axes, efficiency) = style.new_figure(2, height=3.4)
    for number, (label, times) in enumerate(measured):
        colour = style.CYCLE[number % len(style.CYCLE)]
        counts = sorted(times)
        middle = np.array([float(np.median(times[count])) for count in counts])
        axes.plot(counts, middle, color=colour, marker="o", markersize=4.5, label=label)
        axes.plot(counts, middle[0] * counts[0] / np.array(counts), color=colour, linestyle=":", linewidth=1.2)
        efficiency.plot(counts, 100 * middle[0] * counts[0] / (middle * np.array(counts)), color=colour, marker="o",
                        markersize=4.5)
    every = sorted({count for _, times in measured for count in times})
    for panel in (axes, efficiency):
        panel.set_xscale("log", base=2)
        panel.set_xticks(every, [str(count) for count in every])
        panel.minorticks_off()
        panel.set_xlabel("workers (ranks × threads)")
    style.log_axis(axes)
    axes.set_ylabel("ms per step")
    axes.set_title("time of a step (dotted: ideal)")
    efficiency.set_ylim(0, max(105.0, efficiency.get_ylim()[1]))
    efficiency.set_ylabel("%")
    efficiency.set_title("parallel efficiency")
    return style.picture(figure, name, "strong scaling")
