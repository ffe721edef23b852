"""How figures look: colours that people with any colour vision tell apart, and matplotlib's figures as
SVG that stands inside a page (text stays text, in the page's fonts).
"""
from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.artist import Artist  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

INK, QUIET, GRID = "#1f2933", "#5c6773", "#e4e7eb"
BASELINE = "#555b61"
# Okabe and Ito, without yellow (too light on white) and black (kept for baselines)
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
PHASES = {"forward": "#0072b2", "backward": "#56b4e9", "optimise": "#009e73", "reduce": "#e69f00",
          "coordinator": "#cc79a7", "data": "#d55e00", "evaluate": "#8a939c", "checkpoint": "#3d4650",
          "other": "#d5dae0"}
WIDTH = 9.6  # inches; the page's column
MEASURED = "DejaVu Sans"  # comes with matplotlib; text is laid out by it and set in the page's narrower fonts
FONTS = "'Source Sans 3','Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif"

plt.rcParams.update({
    "svg.fonttype": "none", "font.family": MEASURED,
    "font.size": 9.5, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 9.5, "legend.fontsize": 9, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "axes.edgecolor": "#9aa5b1", "axes.linewidth": 0.8, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "text.color": INK, "xtick.color": QUIET, "ytick.color": QUIET, "axes.grid": True, "grid.color": GRID,
    "grid.linewidth": 0.7, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
    "lines.linewidth": 1.6, "legend.frameon": False, "figure.facecolor": "none", "axes.facecolor": "none",
    "savefig.facecolor": "none", "axes.unicode_minus": True, "axes.formatter.use_mathtext": False,
})

Array = NDArray[np.floating[Any]]
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    return "10" + str(exponent).translate(SUPERSCRIPT)


def _log_label(value: float, powers: bool) -> str:
    if value <= 0:
        return ""
    exponent = math.floor(math.log10(value) + 1e-9)
    if not powers and -3 <= exponent <= 3:
        return f"{value:g}"
    leading = value / 10.0**exponent
    return power_of_ten(exponent) if abs(leading - 1) < 1e-6 else f"{leading:g}·{power_of_ten(exponent)}"


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis whose ticks are labelled even where it spans less than a decade."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    decades = math.log10(high / low) if low > 0 and high > low else 1.0
    if decades < 0.5:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        steps = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
        axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=9))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _log_label(value, decades > 3)))
    if decades < 0.5 or decades > 3:
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def shades(count: int) -> list[tuple[float, float, float, float]]:
    """Ordered colours for sites along the depth of a network: dark (first) to light (last)."""
    return [tuple(colour) for colour in plt.get_cmap("viridis")(np.linspace(0.0, 0.86, max(count, 1)))]


def wrapped(text: str, width: int) -> str:
    """A long title on several lines."""
    return "\n".join(textwrap.wrap(text, width)) or text


def new_figure(columns: int = 1, rows: int = 1, height: float = 3.0, **options: object) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False, layout="constrained", **options)
    return figure, list(axes.flat)


def hex_of(colour: tuple[float, float, float, float]) -> str:
    return str(to_hex(colour))


def discard(figure: Figure) -> None:
    plt.close(figure)


def thinned(x: Array, y: Array, points: int = 700) -> tuple[Array, Array]:
    """A long curve with its look kept: the smallest and largest value of each stretch."""
    if len(x) <= points:
        return x, y
    edges = np.linspace(0, len(x), points // 2 + 1, dtype=int)
    keep: list[int] = [0, len(x) - 1]
    for begin, end in zip(edges[:-1], edges[1:]):
        part = y[begin:end]
        if np.any(np.isfinite(part)):
            keep += [begin + int(np.nanargmin(part)), begin + int(np.nanargmax(part))]
    index = np.unique(keep)
    return x[index], y[index]


@dataclass(frozen=True)
class LegendEntry:
    label: str
    colour: str
    line: str  # matplotlib's line style, or `block`
    series: str = ""  # class of the marks that belong to it, "s3"


@dataclass(frozen=True)
class Picture:
    """A figure for a page: its SVG, and the legend that the page sets beside it; for a paper, as PDF with both."""

    svg: str
    legend: list[LegendEntry]
    figure: Figure

    def _repr_svg_(self) -> str:  # what a notebook shows
        return self.svg

    def pdf(self) -> bytes:
        columns = max(1, min(4, int(120 / max((len(entry.label) + 8 for entry in self.legend), default=20))))
        rows = -(-len(self.legend) // columns)
        width, height = (float(length) for length in self.figure.get_size_inches())
        room = 0.24 * rows + 0.08 if rows else 0.0
        self.figure.set_size_inches(width, height + room)
        self.figure.set_layout_engine("constrained", rect=(0, 0, 1, height / (height + room)))
        handles = [Patch(color=entry.colour) if entry.line == "block" else
                   Line2D([], [], color=entry.colour, linestyle=entry.line) for entry in self.legend]
        legend = self.figure.legend(handles, [entry.label for entry in self.legend], loc="upper left", ncol=columns,
                                    bbox_to_anchor=(0, 1), fontsize=9) if rows else None
        out = io.BytesIO()
        self.figure.savefig(out, format="pdf", metadata={"CreationDate": None})
        if legend:
            legend.remove()
        self.figure.set_size_inches(width, height)
        return out.getvalue()


def mark(artist: Artist, series: str, axes: Axes) -> None:
    """Makes an artist findable in the SVG as one of a series: <g class="s3">."""
    if series:
        place = axes.figure.axes.index(axes)
        artist.set_gid(f"{series}.{place}.{len(axes.lines)}.{len(axes.collections)}.{len(axes.patches)}")


def legend_of(axes: Sequence[Axes]) -> list[LegendEntry]:
    """Each labelled line once."""
    found: dict[str, LegendEntry] = {}
    for panel in axes:
        for line in panel.lines:
            label = str(line.get_label())
            if not label.startswith("_"):
                series = str(line.get_gid() or "").partition(".")[0]
                found.setdefault(label, LegendEntry(label, to_hex(line.get_color()), str(line.get_linestyle()), series))
    return list(found.values())


def picture(figure: Figure, name: str, description: str, legend: list[LegendEntry] | None = None) -> Picture:
    """The figure as an <svg> element of its own; ids start with the name, so that none meet on a page."""
    entries = legend_of(figure.axes) if legend is None else legend
    out = io.StringIO()
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = out.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(\bid="|href="#|url\(#)', lambda match: match.group(1) + name + "-", text)
    text = re.sub(rf'id="{name}-(s\d+)(\.[\d.]+)"', rf'id="{name}-\1\2" class="\1"', text)
    text = re.sub(r"'DejaVu Sans'(, [\w' -]+)*", FONTS, text)
    head = re.match(r"<svg[^>]*>", text, flags=re.S)
    assert head is not None
    box = re.search(r'viewBox="([^"]*)"', head.group(0))
    assert box is not None
    opening = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
               f'viewBox="{box.group(1)}" role="img" aria-label="{escape(description)}">')
    body = text[head.end():]
    body = re.sub(r'<style type="text/css">.*?</style>', "", body, flags=re.S)  # the page's own style says it
    return Picture(opening + body, entries, figure)
