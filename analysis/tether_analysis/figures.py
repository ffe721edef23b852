"""The figures of a report, each a function from groups of runs to a picture (or None where there is
nothing to show). Curves of several seeds are a mean with the range from the lowest to the highest run.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from . import style
from .grouping import Family, Group
from .run_file import Run, Table

PANELS = 12  # configurations side by side in one figure
CURVES = 24  # configurations over one another: six colours, four kinds of line
Curve = tuple[style.Array, style.Array]


def colours(groups: Sequence[Group]) -> dict[int, str]:
    """By id(group): strict networks in grey, all others along the cycle."""
    out: dict[int, str] = {}
    used = 0
    for group in groups:
        if group.method == "strict":
            out[id(group)] = style.BASELINE
        else:
            out[id(group)] = style.CYCLE[used % len(style.CYCLE)]
            used += 1
    return out


def dashes(groups: Sequence[Group]) -> dict[int, str]:
    """Line styles that tell several strict groups apart, and what lies beyond the colours."""
    out: dict[int, str] = {}
    strict = others = 0
    for group in groups:
        if group.method == "strict":
            out[id(group)] = ("-", "--", ":", "-.")[strict % 4]
            strict += 1
        else:
            out[id(group)] = ("-", "--", ":", "-.")[others // len(style.CYCLE) % 4]
            others += 1
    return out


def _against_epochs(run: Run, table: Table, column: str) -> Curve:
    """x in epochs where the run has them, else in steps; rows that are no number left out."""
    steps = np.asarray(table.get("step"), dtype=float)
    epochs = run.epoch_of(steps)
    y = np.asarray(table.get(column), dtype=float)
    keep = np.isfinite(y)
    return (steps if epochs is None else epochs)[keep], y[keep]


def _label_x(axes: Axes, runs: Sequence[Run]) -> None:
    axes.set_xlabel("epoch" if all(run.epoch_of(np.zeros(1)) is not None for run in runs) else "step")
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))


def _mean_and_range(curves: Sequence[Curve]) -> tuple[style.Array, ...]:
    """On the x of the longest curve: mean, lowest, highest of the curves that reach it."""
    x = max((curve[0] for curve in curves), key=len)
    rows = np.array([np.interp(x, cx, cy, left=np.nan, right=np.nan) for cx, cy in curves])
    counts = np.sum(np.isfinite(rows), axis=0)
    keep = counts > 0
    x, rows = x[keep], rows[:, keep]
    return x, np.nanmean(rows, axis=0), np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)


def _draw(axes: Axes, curves: Sequence[Curve], colour: str, line: str, label: str, scale: float = 1.0,
          series: str = "") -> bool:
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return False
    x, mean, low, high = _mean_and_range(curves)
    if len(curves) > 1:
        style.mark(axes.fill_between(x, low * scale, high * scale, color=colour, alpha=0.16, linewidth=0), series, axes)
    x, mean = style.thinned(x, mean)
    marker = "o" if len(x) == 1 else None
    (drawn,) = axes.plot(x, mean * scale, color=colour, linestyle=line, label=label, marker=marker, markersize=4)
    style.mark(drawn, series, axes)
    return True


def series_of(family: Family, group: Group) -> str:
    """The class of a group's marks in every figure of its family."""
    return f"s{family.groups.index(group)}"


def _mark_best(axes: Axes, group: Group, mode: str, colour: str, scale: float, series: str) -> None:
    for run in group.runs:
        best = run.best.get(mode)
        if best is None or best.step < 0:
            continue
        epochs = run.epoch_of(np.array([best.step]))
        (dot,) = axes.plot([best.step if epochs is None else epochs[0]], [best.validation * scale], marker="o",
                           markersize=4.5, markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.2,
                           linestyle="none")
        style.mark(dot, series, axes)


def curve_groups(family: Family) -> list[Group]:
    """All, or of too many the baselines and those that are best on validation, in the family's order."""
    if len(family.groups) <= CURVES:
        return family.groups

    def worth(group: Group) -> tuple[bool, float]:
        values = [run.best[group.deployed].validation for run in group.counted() if group.deployed in run.best]
        finite = [value for value in values if np.isfinite(value)]
        return group.method != "strict", sum(finite) / len(finite) if finite else float("inf")

    chosen = sorted(family.groups, key=worth)[:CURVES]
    return [group for group in family.groups if group in chosen]


def validation(family: Family, name: str, scale: float, label: str) -> style.Picture | None:
    """Projected and relaxed validation during training, one scale for both."""
    figure, axes = style.new_figure(2, height=3.5, sharey=True)
    groups = curve_groups(family)
    colour, line = colours(groups), dashes(groups)
    drawn = False
    for panel, mode in zip(axes, ("projected", "relaxed")):
        for group in groups:
            if mode == "relaxed" and not group.has_branches:
                continue
            curves = [_against_epochs(run, run.table("/eval/validation"), mode) for run in group.runs]
            series = series_of(family, group)
            if _draw(panel, curves, colour[id(group)], line[id(group)], group.label, scale, series):
                _mark_best(panel, group, mode, colour[id(group)], scale, series)
                drawn = True
        panel.set_title("projected (γ = 0)" if mode == "projected" else "relaxed (γ as trained)")
        _label_x(panel, [run for group in family.groups for run in group.runs])
    if not drawn:
        style.discard(figure)
        return None
    axes[0].set_ylabel(f"validation {label}")
    for panel in axes:
        style.log_axis(panel)
    if not axes[1].lines:
        axes[1].text(0.5, 0.5, "no run here has branches", transform=axes[1].transAxes, ha="center",
                     color=style.QUIET)
    return style.picture(figure, name, "validation during training")


def training(family: Family, name: str) -> style.Picture | None:
    """Training loss, and the norm of its gradient."""
    figure, axes = style.new_figure(2, height=3.2)
    groups = curve_groups(family)
    colour, line = colours(groups), dashes(groups)
    drawn = False
    for panel, column, label in zip(axes, ("loss", "gradient_norm"), ("mean task loss", "gradient norm")):
        for group in groups:
            curves = [_against_epochs(run, run.table("/train"), column) for run in group.runs]
            drawn |= _draw(panel, curves, colour[id(group)], line[id(group)], group.label,
                           series=series_of(family, group))
        panel.set_title(label)
        _label_x(panel, [run for group in family.groups for run in group.runs])
        if panel.lines:
            style.log_axis(panel)
    if not drawn:
        style.discard(figure)
        return None
    return style.picture(figure, name, "training loss and gradient norm")


def _moves(values: style.Array) -> bool:
    """Has it one column per site, and does any of them change? (Gates held at 1 do not, nor does what
    the method lacks.)"""
    if values.ndim != 2 or not np.any(np.isfinite(values)):
        return False
    finite = values[:, np.any(np.isfinite(values), axis=0)]
    return bool(np.any(np.nanmax(finite, axis=0) > np.nanmin(finite, axis=0)))


def constraint(run: Run, name: str) -> style.Picture | None:
    """Gates, multipliers and, where they ever move, slacks: one line per site, first site darkest."""
    table = run.table("/constraint")
    panels = [("gamma", "gate γ"), ("lambda", "multiplier λ"), ("slack", "slack u")]
    panels = [(column, label) for column, label in panels if _moves(table.get(column))]
    if not panels or not run.sites:
        return None
    figure, axes = style.new_figure(len(panels), height=3.3)
    steps = np.asarray(table["step"], dtype=float)
    epochs = run.epoch_of(steps)
    x = steps if epochs is None else epochs
    shades = style.shades(len(run.sites))
    for panel, (column, label) in zip(axes, panels):
        panel.axhline(0, color="#9aa5b1", linewidth=0.9)
        for site, shade in enumerate(shades):
            panel.plot(*style.thinned(x, table[column][:, site], 400), color=shade, linewidth=1.2,
                       label=run.sites[site])
        panel.set_title(label)
        _label_x(panel, [run])
    return style.picture(figure, name, f"gates and multipliers of {run.name}")


def symmetry_groups(family: Family) -> list[Group]:
    return [group for group in family.groups if any(len(run.table("/symmetry")) for run in group.runs)]


def symmetry_units(family: Family) -> str:
    return next((run.table("/symmetry").units.get("error_mean", "1") for group in family.groups for run in group.runs
                 if len(run.table("/symmetry"))), "1")


def symmetry(family: Family, name: str, units: str) -> style.Picture | None:
    """Equivariance error of the output, one panel per group: relaxed, its bound, projected."""
    wanted = (("bound", "estimated bound", style.QUIET, ":"), ("error_mean", "relaxed", style.CYCLE[1], "-"),
              ("projected_error_mean", "projected (rounding)", style.CYCLE[0], "-"))
    groups = symmetry_groups(family)[:PANELS]
    if not groups:
        return None
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure, axes = style.new_figure(columns, rows, height=0.5 + 2.6 * rows, sharex=True, sharey=True)
    for panel, group in zip(axes, groups):
        for column, label, colour, line in wanted:
            if column != "projected_error_mean" and not group.has_branches:
                continue
            curves = []
            for run in group.runs:
                x, y = _against_epochs(run, run.table("/symmetry"), column)
                curves.append((x[y > 0], y[y > 0]))  # a logarithm has no place for an exact zero
            _draw(panel, curves, colour, line, label)
        panel.set_title(style.wrapped(group.label, {1: 110, 2: 56}.get(columns, 36)))
        _label_x(panel, group.runs)
    for panel in axes[len(groups):]:
        panel.set_visible(False)
    for panel in axes[:len(groups)]:
        panel.xaxis.set_tick_params(labelbottom=True)
    for panel in axes[::columns]:
        panel.set_ylabel("equivariance error" + (f" ({units})" if units != "1" else ""))
    for panel in axes[:len(groups)]:
        style.log_axis(panel)
    return style.picture(figure, name, "equivariance error of the output")


def _spent(run: Run) -> dict[str, float] | None:
    """Milliseconds a step by phase; what the phases leave of the total is `other`."""
    table = run.table("/timing")
    steps = float(table["step"][-1]) if len(table) else 0.0
    if steps <= 0:
        return None
    spent = {phase: float(np.nansum(table.get(phase))) for phase in style.PHASES if phase != "other"}
    spent["other"] = max(0.0, float(np.nansum(table.get("total"))) - sum(spent.values()))
    return {phase: 1e3 * seconds / steps for phase, seconds in spent.items()}


def timing(family: Family, name: str) -> style.Picture | None:
    """Where the time goes, in ms per step: one bar a run, or of many runs one a configuration (their mean)."""
    rows: list[tuple[str, dict[str, float]]] = []
    single = sum(len(group.runs) for group in family.groups) <= PANELS
    for group in family.groups:
        spent_by_run = [(run, spent) for run in group.runs if (spent := _spent(run)) is not None]
        if single:
            rows += [(f"{group.label}, seed {run.seed}", spent) for run, spent in spent_by_run]
        elif spent_by_run:
            rows.append((group.label, {phase: sum(spent[phase] for _, spent in spent_by_run) / len(spent_by_run)
                                       for phase in style.PHASES}))
    if not rows:
        return None
    figure, (axes,) = style.new_figure(height=1.1 + 0.34 * len(rows))
    for position, (_, spent) in enumerate(rows):
        left = 0.0
        for phase, colour in style.PHASES.items():
            axes.barh(position, spent[phase], left=left, height=0.62, color=colour, edgecolor="white", linewidth=0.6)
            left += spent[phase]
        axes.text(left, position, f"  {left:.3g} ms", va="center", color=style.QUIET, fontsize=9)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("time per training step, evaluations and checkpoints spread over the steps (ms)")
    used = [phase for phase in style.PHASES if any(spent[phase] > 0 for _, spent in rows)]
    legend = [style.LegendEntry(phase, style.PHASES[phase], "block") for phase in used]
    return style.picture(figure, name, "where the time goes", legend)
