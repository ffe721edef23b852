"""One run.h5 as numbers with units, in whatever state it is: being written, killed, truncated, closed.

Tables are cut to the rows counted in /live/committed, which the writer flushes last; while the status
in /meta is `running`, /live/state is newer than the attributes of /meta and /eval/best. What cannot be
read is named in `Run.problems`; opening never fails because of what is in a folder.
"""
from __future__ import annotations

import ctypes
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from . import lease

SCHEMA_VERSION = 1
TABLES = ("/train", "/constraint", "/eval/validation", "/eval/test", "/symmetry", "/timing")
NOT_COLUMNS = ("site",)  # coordinates that lie among the columns
T = TypeVar("T")


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
    condition: str  # complete, running, killed, stopped, failed, starting, unreadable
    meta: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    steps: int = 0
    state_sha256: str = ""
    best: dict[str, Best] = field(default_factory=dict)  # projected, relaxed
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def seed(self) -> int:
        return int(self.meta.get("seed", -1))

    @property
    def total_steps(self) -> int:
        return int(self.meta.get("total_steps", 0))

    def table(self, name: str) -> Table:
        return self.tables.get(name, Table())

    def epoch_of(self, steps: NDArray[Any]) -> NDArray[Any] | None:
        """Epochs at these steps by the rows of /train; None where it has none."""
        train = self.table("/train")
        if len(train) == 0 or not np.any(np.diff(train.get("epoch"), prepend=0.0) > 0):
            return None
        per_step = train["epoch"][-1] / max(float(train["step"][-1]), 1.0)
        return np.asarray(steps, dtype=float) * per_step

    @property
    def wall_s(self) -> float:
        wall = self.table("/train").get("wall_s")
        return float(wall[-1]) if len(wall) else float("nan")


def _retried(action: Callable[[], T]) -> T:
    """A writer may be in the middle of a chunk; the same read succeeds a moment later."""
    for _ in range(8):
        try:
            return action()
        except (OSError, RuntimeError):
            time.sleep(0.01)
    return action()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


def _attributes(item: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in item.attrs.items()}


def _read_table(group: h5py.Group, committed: int | None) -> Table:
    sets = {name: item for name, item in group.items()
            if isinstance(item, h5py.Dataset) and name not in NOT_COLUMNS and item.ndim in (1, 2)}
    rows = min((item.shape[0] for item in sets.values()), default=0)
    if committed is not None:
        rows = min(rows, committed)
    table = Table()
    for name, item in sets.items():
        table.columns[name] = _retried(lambda item=item: item[:rows])
        table.units[name] = str(_plain(item.attrs.get("units", "1")))
        table.long_names[name] = str(_plain(item.attrs.get("long_name", name)))
    return table


def _committed_rows(file: h5py.File) -> dict[str, int]:
    if "/live/committed" not in file:
        return {}
    counters = file["/live/committed"]
    names = _attributes(counters).get("tables", [])
    return {str(name): int(count) for name, count in zip(names, _retried(lambda: counters[:]))}


def _read_state(file: h5py.File, run: Run) -> str:
    """Status, steps, checksum and best figures; the newer of their two places."""
    status = str(run.meta.get("status", "unknown"))
    best = _attributes(file["/eval/best"]) if "/eval/best" in file else {}
    source: dict[str, Any] = {**run.meta, **best}
    if status == "running" and "/live/state" in file:
        record = _retried(lambda: file["/live/state"][0])
        source = {name: _plain(record[name]) for name in record.dtype.names}
        status = str(source.get("status", status))
    run.steps = int(source.get("steps", 0))
    run.state_sha256 = str(source.get("state_sha256", ""))
    for mode in ("projected", "relaxed"):
        run.best[mode] = Best(int(source.get(f"{mode}_step", -1)), float(source.get(f"{mode}_validation", np.nan)),
                              float(source.get(f"{mode}_test", np.nan)))
    return status


def _read(file: h5py.File, run: Run) -> None:
    committed = _retried(lambda: _committed_rows(file))  # first: what is read later is at least as new
    run.meta = _retried(lambda: _attributes(file["/meta"]))
    schema = int(run.meta.get("schema_version", -1))
    if schema != SCHEMA_VERSION:
        run.problems.append(f"schema version {schema}, this program reads version {SCHEMA_VERSION}")
    try:
        run.job = tomllib.loads(str(run.meta.get("job", "")))
    except tomllib.TOMLDecodeError as error:
        run.problems.append(f"the stored job cannot be read: {error}")
    if "/constraint/site" in file:
        run.sites = [str(_plain(site)) for site in _retried(lambda: file["/constraint/site"][:])]
    for name in TABLES:
        try:
            if name in file:
                run.tables[name] = _read_table(file[name], committed.get(name))
        except (OSError, RuntimeError, KeyError) as error:
            run.problems.append(f"{name} cannot be read: {_short(error)}")
    run.condition = _read_state(file, run)


def _open(path: Path) -> h5py.File:
    """For reading beside a writer. HDF5 answers a wrong checksum under SWMR with up to 100 attempts, each
    after twice the pause of the one before: on damaged files, for ever. h5py has no word for fewer."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    set_attempts = ctypes.CDLL(h5py.h5p.__file__).H5Pset_metadata_read_attempts
    set_attempts.argtypes = (ctypes.c_int64, ctypes.c_uint)
    if set_attempts(access.id, 12) < 0:
        raise OSError("cannot set up access")
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(str(path).encode(), flags, fapl=access))


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."


def open_run(path: Path | str) -> Run:
    """The run in a folder (or of a run.h5), whatever its state; see Run.condition and Run.problems."""
    path = Path(path)
    folder = path.parent if path.name == "run.h5" else path
    run = Run(folder.resolve(), "unreadable")
    live = lease.is_live(folder)
    source = folder / "run.h5"
    if not source.exists():
        run.condition = "starting" if live else "unreadable"
        run.problems.append("has no run.h5" + (" yet" if live else ": it ended before its first step"))
        return run
    try:
        if source.stat().st_size == 0:
            raise OSError("the file is empty")
        with _retried(lambda: _open(source)) as file:
            _read(file, run)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
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
