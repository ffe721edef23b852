"""What slurm/multi_node_benchmark measured: whole steps of one job on growing numbers of ranks. The file has a group
for each series (strong: the same batch for all; weak: a batch that grows with the ranks) with a row per point."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from . import style, tables

SERIES = {"strong": "strong scaling: the same batch", "weak": "weak scaling: the batch grows with the ranks"}
COLUMNS = ("ranks", "nodes", "threads", "batch", "step_ms_median", "step_ms_min", "step_ms_max", "efficiency")


@dataclass
class ScalingFile:
    path: Path
    job: str
    created: str
    tether: str
    series: dict[str, dict[str, style.Array]] = field(default_factory=dict)  # by name: columns


def is_scaling(path: Path) -> bool:
    """Whether that is such a file; what cannot be read is none."""
    try:
        if not path.is_file() or not h5py.is_hdf5(path):
            return False
        with h5py.File(path) as file:
            kind: object = file.attrs.get("kind")
            return kind == "scaling"
    except OSError:
        return False


def read_scaling(path: Path) -> ScalingFile:
    """ValueError naming the file and what is wrong with it."""
    try:
        with h5py.File(path) as file:
            told = {name: str(file.attrs.get(name, "")) for name in ("job", "created", "tether")}
            out = ScalingFile(path, told["job"], told["created"], told["tether"])
            for name in SERIES:
                if name in file:
                    columns = {column: np.asarray(file[name][column][()], dtype=float) for column in COLUMNS}
                    if len({len(values) for values in columns.values()}) != 1:
                        raise ValueError(f"{path}: /{name}: columns of different lengths")
                    order = np.argsort(columns["ranks"], kind="stable")
                    out.series[name] = {column: values[order] for column, values in columns.items()}
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a file of slurm/multi_node_benchmark: {error}") from error
    if not any(len(columns["ranks"]) for columns in out.series.values()):
        raise ValueError(f"{path}: holds no measured point")
    return out


def table(measured: ScalingFile) -> tables.TableText:
    """A row per point, in the order of the file."""
    out = tables.TableText([tables.Cell(text) for text in
                            ("series", "ranks", "nodes", "threads", "batch", "ms per step", "fastest", "slowest", "efficiency")])
    for series, columns in measured.series.items():
        for values in zip(*(columns[name] for name in COLUMNS)):
            ranks, nodes, threads, batch, middle, low, high, efficiency = (float(value) for value in values)
            out.add([tables.Cell(series), *(tables.Cell(f"{count:.0f}", count, "number") for count in (ranks, nodes, threads, batch)),
                     *(tables.Cell(f"{ms:.3g}", ms, "number") for ms in (middle, low, high)),
                     tables.Cell(f"{100 * efficiency:.0f} %", efficiency, "number")], {})
    return out


def figure(measured: ScalingFile, name: str) -> style.Picture:
    """Times of a step with the fastest and slowest one, beside the ideal, and the efficiency."""
    shown, panels = style.new_figure(2, height=3.4)
    times, efficiency = panels
    every: set[int] = set()
    for number, (series, columns) in enumerate(measured.series.items()):
        if not len(columns["ranks"]):
            continue
        colour = style.CYCLE[number % len(style.CYCLE)]
        ranks, middle = columns["ranks"], columns["step_ms_median"]
        every |= {int(count) for count in ranks}
        spread = np.clip([middle - columns["step_ms_min"], columns["step_ms_max"] - middle], 0, None)
        times.errorbar(ranks, middle, yerr=spread, color=colour, fmt="none", capsize=3)
        times.plot(ranks, middle, color=colour, marker="o", markersize=4.5, label=series)
        ideal = middle[0] * ranks[0] / ranks if series == "strong" else np.full(len(ranks), middle[0])
        times.plot(ranks, ideal, color=colour, linestyle=":", linewidth=1.2)
        efficiency.plot(ranks, 100 * columns["efficiency"], color=colour, marker="o", markersize=4.5)
    for panel in (times, efficiency):
        panel.set_xscale("log", base=2)
        panel.set_xticks(sorted(every), [str(count) for count in sorted(every)])
        panel.minorticks_off()
        panel.set_xlabel("ranks")
    style.log_axis(times)
    times.set_ylabel("ms per step")
    times.set_title("time of a step (dotted: ideal)")
    efficiency.set_ylim(0, max(105.0, efficiency.get_ylim()[1]))
    efficiency.set_ylabel("%")
    efficiency.set_title("parallel efficiency")
    return style.picture(shown, name, f"scaling of {measured.path.name}")
