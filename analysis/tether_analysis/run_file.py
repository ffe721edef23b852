"""One run.h5 as numbers with units, in whatever state it is: being written, killed, truncated, closed.

Tables are cut to the rows counted in /live/committed, which the writer flushes last; while the status
in /meta is `running`, /live/state is newer than the attributes of /meta and /eval/best. What cannot be
read is named in `Run.problems`; opening never fails because of what is in a folder. The tables are read
through h5py's lower layer (hdf5_reading): a sweep has thousands of files.
"""
from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from . import hdf5_reading as hdf5
from . import lease

SCHEMA_VERSION = 1
TABLES = ("/train", "/constraint", "/eval/validation", "/eval/test", "/symmetry", "/timing")  # that every run has
OUTSIDE = "/eval/out_of_distribution"  # of data sets with samples that no training sample resembles
NOT_COLUMNS = ("site",)  # coordinates that lie among the columns
DEPLOYED_PROJECTED = ("strict", "ace", "schedule")
# What is read of the last row even where the tables are not
LAST = {"step": "/train/step", "epoch": "/train/epoch", "wall_s": "/train/wall_s", "gamma": "/constraint/gamma",
        "lambda": "/constraint/lambda", "slack": "/constraint/slack"}


@dataclass(frozen=True)
class Table:
    """Columns of equal length: [rows] or [rows, sites]."""

    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    long_names: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["step"]) if "step" in self.columns else 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def get(self, name: str) -> NDArray[Any]:
        """The column, or one of nothing but NaN where the file has none."""
        return self.columns.get(name, np.full(len(self), np.nan))


@dataclass(frozen=True)
class Best:
    """Chosen on validation, read on test; step -1 where there was no evaluation yet."""

    step: int = -1
    validation: float = float("nan")
    test: float = float("nan")


@dataclass(eq=False)
class Run:
    path: Path  # the run's folder
    condition: str  # complete, running, killed, stopped, failed, starting, waiting, unreadable
    meta: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    metric_units: str = "1"
    steps: int = 0
    state_sha256: str = ""
    best: dict[str, Best] = field(default_factory=dict)  # projected, relaxed
    last: dict[str, Any] = field(default_factory=dict)  # of LAST, what the file has
    labels: dict[str, str] = field(default_factory=dict)  # what tells it from its neighbours in a sweep
    known_tables: list[str] = field(default_factory=list)  # those of the file, read or not
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def seed(self) -> int:
        return int(self.meta.get("seed", self.job.get("seed", -1)))

    @property
    def model(self) -> str:
        return str(self.meta.get("model", self.job.get("model", {}).get("name", "unknown")))

    @property
    def method(self) -> str:
        """By the name the house gives it: ace under a resilient constraint is `ace-resilient`."""
        name = str(self.meta.get("method", self.job.get("method", {}).get("name", "unknown")))
        resilient = self.job.get("method", {}).get("constraint") == "resilient"
        return "ace-resilient" if name == "ace" and resilient else name

    @property
    def has_branches(self) -> bool:
        """Has it sites whose gates can be open? Else projected and relaxed evaluation are the same."""
        return bool(self.sites) and self.method not in ("strict", "remul")

    @property
    def deployed(self) -> str:
        """The evaluation its method is deployed with."""
        return "projected" if self.method in DEPLOYED_PROJECTED or not self.has_branches else "relaxed"

    @property
    def total_steps(self) -> int:
        return int(self.meta.get("total_steps", 0))

    def table(self, name: str) -> Table:
        return self.tables.get(name, Table())

    def epoch_of(self, steps: NDArray[Any]) -> NDArray[Any] | None:
        """Epochs at these steps by the last row of /train; None where it has none."""
        step, epoch = float(self.last.get("step", 0)), float(self.last.get("epoch", 0))
        return np.asarray(steps, dtype=float) * (epoch / step) if step > 0 and epoch > 0 else None

    @property
    def wall_s(self) -> float:
        return float(self.last.get("wall_s", np.nan))


def _read_table(file: h5py.File, name: str, committed: int | None) -> Table:
    sets = hdf5.columns(file, name, NOT_COLUMNS)
    rows = min((item.shape[0] for item in sets.values()), default=0)
    if committed is not None:
        rows = min(rows, committed)
    table = Table()
    for column, item in sets.items():
        table.columns[column] = hdf5.first_rows(item, rows)
        table.units[column] = hdf5.text_attribute(item, "units", "1")
        table.long_names[column] = hdf5.text_attribute(item, "long_name", column)
    return table


def _read_ends(file: h5py.File, run: Run, committed: dict[str, int]) -> None:
    for name, path in LAST.items():
        table = path.rpartition("/")[0]
        row = hdf5.last_row(file, path, committed.get(table))
        if row is not None:
            run.last[name] = row
    if "/eval/validation/projected" in file:
        run.metric_units = hdf5.text_attribute(file["/eval/validation/projected"].id, "units", "1")


def _committed_rows(file: h5py.File) -> dict[str, int]:
    if "/live/committed" not in file:
        return {}
    counters = file["/live/committed"]
    names = hdf5.attributes(file, "/live/committed").get("tables", [])
    return {str(name): int(count) for name, count in zip(names, hdf5.retried(lambda: counters[:]))}


def _read_state(file: h5py.File, run: Run) -> str:
    """Status, steps, checksum and best figures; the newer of their two places."""
    status = str(run.meta.get("status", "unknown"))
    best = hdf5.attributes(file, "/eval/best") if "/eval/best" in file else {}
    source: dict[str, Any] = {**run.meta, **best}
    if status == "running" and "/live/state" in file:
        record = hdf5.retried(lambda: file["/live/state"][0])
        source = {name: hdf5.plain(record[name]) for name in record.dtype.names}
        status = str(source.get("status", status))
    run.steps = int(source.get("steps", 0))
    run.state_sha256 = str(source.get("state_sha256", ""))
    for mode in ("projected", "relaxed"):
        run.best[mode] = Best(int(source.get(f"{mode}_step", -1)), float(source.get(f"{mode}_validation", np.nan)),
                              float(source.get(f"{mode}_test", np.nan)))
    return status


def _read_job(run: Run, text: str) -> None:
    try:
        run.job = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        run.problems.append(f"the stored job cannot be read: {error}")


def _read(file: h5py.File, run: Run, tables: Sequence[str] | None, summary: bool) -> None:
    committed = hdf5.retried(lambda: _committed_rows(file))  # first: what is read later is at least as new
    run.known_tables = list(committed) or [name for name in TABLES if name in file]
    if summary:
        _read_summary(file, run, committed)
    for name in run.known_tables if tables is None else tables:
        try:
            if name in file:
                run.tables[name] = hdf5.retried(partial(_read_table, file, name, committed.get(name)))
        except (OSError, RuntimeError, KeyError) as error:
            run.problems.append(f"{name} cannot be read: {_short(error)}")


def _read_summary(file: h5py.File, run: Run, committed: dict[str, int]) -> None:
    """What the run is and how it stands."""
    run.meta = hdf5.retried(lambda: hdf5.attributes(file, "/meta"))
    schema = int(run.meta.get("schema_version", -1))
    if schema != SCHEMA_VERSION:
        run.problems.append(f"schema version {schema}, this program reads version {SCHEMA_VERSION}")
    _read_job(run, str(run.meta.get("job", "")))
    if "/constraint/site" in file:
        run.sites = [str(hdf5.plain(site)) for site in hdf5.retried(lambda: file["/constraint/site"][:])]
    try:
        hdf5.retried(lambda: _read_ends(file, run, committed))
    except (OSError, RuntimeError, KeyError) as error:
        run.problems.append(f"the last rows cannot be read: {_short(error)}")
    run.condition = _read_state(file, run)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."


def _without_run_file(run: Run, live: bool) -> None:
    """It has only started, was planned by a sweep and waits, or ended before its first step."""
    job = run.path / "job.toml"
    try:
        _read_job(run, job.read_text(encoding="utf-8"))
        waiting = not (run.path / "log.txt").exists()
    except (OSError, UnicodeDecodeError):
        waiting = False
    run.condition = "starting" if live else "waiting" if waiting and run.job else "unreadable"
    if run.condition != "waiting":
        run.problems.append("has no run.h5" + (" yet" if live else ": it ended before its first step"))


def open_run(path: Path | str, tables: Sequence[str] | None = None, summary: bool = True) -> Run:
    """The run in a folder (or of a run.h5), whatever its state; see Run.condition and Run.problems.
    tables: which to read, all unless told; summary: whether anything but these (False: they join a run that was
    opened before, see Sweep.read)."""
    path = Path(path)
    folder = path.parent if path.name == "run.h5" else path
    run = Run(folder.resolve(), "unreadable")
    live = lease.is_live(folder)
    source = folder / "run.h5"
    if not source.exists():
        _without_run_file(run, live)
        return run
    try:
        if source.stat().st_size == 0:
            raise OSError("the file is empty")
        with hdf5.retried(lambda: hdf5.open_for_reading(source)) as file:
            _read(file, run, tables, summary)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        run.condition = "unreadable"
        run.problems.append(f"run.h5 cannot be read (truncated or damaged): {_short(error)}")
        return run
    if run.condition == "running" and not live:
        run.condition = "killed"
    return run


def find_runs(path: Path | str, depth: int = 3) -> list[Path]:
    """Run folders named by a path: a run's folder, its run.h5, or a folder that holds runs."""
    path = Path(path)
    if path.is_file():
        return [path.parent] if path.name == "run.h5" else []
    if (path / "run.h5").exists() or (path / "job.toml").exists():
        return [path]
    if depth == 0 or not path.is_dir():
        return []
    return [found for item in sorted(path.iterdir()) if item.is_dir() for found in find_runs(item, depth - 1)]
