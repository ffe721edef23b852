"""Figures of gates γ, multipliers λ and slacks u by site: phase portraits, sites ranked by what their
symmetry costs, slack along the depth of the network. Late values as in `sites`.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from . import style
from .figures import PANELS, colours, dashes, series_of
from .grouping import Family, Group
from .run_file import Run
from .sites import Late, late


def moving_groups(family: Family) -> list[Group]:
    """Those with multipliers that move."""
    return [group for group in family.groups if group.has_branches and late(group.runs) is not None]


def _portrait(axes: Axes, run: Run) -> None:
    table = run.table("/constraint")
    axes.axhline(0, color="#9aa5b1", linewidth=0.9, zorder=0)
    axes.axvline(0, color="#9aa5b1", linewidth=0.9, zorder=0)
    shades = style.shades(len(run.sites))
    rows = np.unique(np.linspace(0, len(table) - 1, 1200).astype(int))
    for site, shade in enumerate(shades):
        gamma, multiplier = table["gamma"][rows, site], table["lambda"][rows, site]
        axes.plot(gamma, multiplier, color=shade, linewidth=0.7, alpha=0.85, label=run.sites[site])
        axes.plot(gamma[:1], multiplier[:1], marker="o", markersize=4.5, color=shade, markerfacecolor="white", zorder=3)
    for site, shade in enumerate(shades):
        axes.plot(table["gamma"][-1:, site], table["lambda"][-1:, site], marker="s", markersize=4, color=shade,
                  markeredgecolor="white", markeredgewidth=0.6, zorder=4)
    axes.set_xlabel("gate γ")


def _same_scale(axes: Sequence[Axes], groups: Sequence[Group]) -> None:
    """One scale for the panels of a method, so that a ring and a point can be told by their size."""
    for method in {group.method for group in groups}:
        panels = [panel for panel, group in zip(axes, groups) if group.method == method]
        for get, put in (("get_xlim", "set_xlim"), ("get_ylim", "set_ylim")):
            limits = [getattr(panel, get)() for panel in panels]
            for panel in panels:
                getattr(panel, put)(min(low for low, _ in limits), max(high for _, high in limits))


def shown_portraits(family: Family) -> list[Group]:
    return moving_groups(family)[:PANELS]


def phase_portraits(family: Family, name: str) -> style.Picture | None:
    """One panel a configuration, its first seed: a limit cycle stays a ring, a damped one winds into a point."""
    groups = shown_portraits(family)
    if not groups:
        return None
    columns = min(3, max(2, len(groups)))
    rows = -(-len(groups) // columns)
    figure, axes = style.new_figure(columns, rows, height=0.5 + 3.0 * rows)
    for panel, group in zip(axes, groups):
        run = next(run for run in group.counted() + group.runs if run.sites and len(run.table("/constraint")))
        _portrait(panel, run)
        panel.set_title(style.wrapped(f"{group.label}, seed {run.seed}", 34 if columns == 3 else 52))
        panel.set_ylabel("multiplier λ")
    _same_scale(axes[:len(groups)], groups)
    for panel in axes[len(groups):]:
        panel.set_visible(False)
    # Sites of several networks share shades, not names: first and last say what the shades mean.
    sites = max((run.sites for group in groups for run in group.runs), key=len)
    shades = style.shades(len(sites))
    legend = [style.LegendEntry(f"first site ({sites[0]})", style.hex_of(shades[0]), "-")]
    if len(sites) > 1:
        legend.append(style.LegendEntry(f"last site ({sites[-1]})", style.hex_of(shades[-1]), "-"))
    return style.picture(figure, name, "phase portraits of gates and multipliers", legend)


def _bars(axes: Axes, found: Late, column: str, order: NDArray[np.intp], colour: str) -> None:
    mean, swing = found.mean(column)[order], found.swing(column)[order]
    places = np.arange(len(order))
    axes.barh(places, np.nan_to_num(mean), height=0.66, color=colour, alpha=0.85)
    axes.hlines(places, mean - swing, mean + swing, color=style.INK, linewidth=1.0, alpha=0.75)
    if len(found.means[column]) > 1:
        for values in found.means[column]:
            axes.plot(values[order], places, linestyle="none", marker="o", markersize=3.2, markerfacecolor="white",
                      markeredgecolor=style.INK, markeredgewidth=0.8)
    axes.axvline(0, color="#9aa5b1", linewidth=0.9)
    axes.grid(False, axis="y")


def ranked_sites(group: Group, name: str) -> style.Picture | None:
    """Sites by the size of their multiplier; beside it what their gates and slacks are."""
    found = late(group.counted())
    if found is None:
        return None
    columns = list(found.means)
    figure, axes = style.new_figure(len(columns), height=0.9 + 0.24 * max(4, len(found.sites)), sharey=True)
    order = found.ranked()
    shown = {"lambda": ("multiplier λ", style.CYCLE[0]), "gamma": ("gate γ", style.CYCLE[1]),
             "slack": ("slack u", style.CYCLE[2]), "branch_ratio": ("branch ratio ‖free‖ / ‖equivariant‖", style.CYCLE[3])}
    for panel, column in zip(axes, columns):
        _bars(panel, found, column, order, shown[column][1])
        panel.set_title(shown[column][0])
        panel.xaxis.set_major_locator(MaxNLocator(5))
    axes[0].set_yticks(range(len(order)), [found.sites[site] for site in order])
    axes[0].invert_yaxis()
    for panel in axes:
        panel.tick_params(axis="y", length=0, labelcolor=style.INK)
        panel.spines["left"].set_visible(False)
    return style.picture(figure, name, "sites ranked by multiplier", [])


def slack_by_depth(family: Family, name: str) -> style.Picture | None:
    """Slack of each site from the first to the last: where the data ask for less symmetry."""
    colour, line = colours(family.groups), dashes(family.groups)
    found = [(group, sites) for group in family.groups
             if (sites := late(group.counted())) is not None and "slack" in sites.means]
    if not found:
        return None
    figure, (axes,) = style.new_figure(height=3.2)
    longest = max((sites.sites for _, sites in found), key=len)
    for group, sites in found:
        x, mean = np.arange(len(sites.sites)), sites.mean("slack")
        series = series_of(family, group)
        if len(sites.means["slack"]) > 1:
            low, high = sites.means["slack"].min(axis=0), sites.means["slack"].max(axis=0)
            style.mark(axes.fill_between(x, low, high, color=colour[id(group)], alpha=0.16, linewidth=0), series, axes)
        (drawn,) = axes.plot(x, mean, color=colour[id(group)], linestyle=line[id(group)], marker="o", markersize=4,
                             label=group.label)
        style.mark(drawn, series, axes)
    axes.set_xticks(range(len(longest)), longest, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_ylabel("slack u")
    low, high = axes.get_ylim()
    axes.set_ylim(min(0.0, low), high + 0.06 * (high - min(0.0, low)))
    return style.picture(figure, name, "slack by site")
