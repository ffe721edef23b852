"""A sweep, or any set of runs, opened at once. `open_sweep` reads what every run is and how it stands;
tables are read when they are first asked for. Runs that are waiting, damaged or gone stay in the list
with their condition: a sweep is as long as it was planned.
"""
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .careful import open_runs
from .run_file import TABLES, Run, find_runs
from .tidy import runs_frame, table_dataset, table_frame

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass
class Plan:
    """What DIR/manifest.json says, and the last words of each run's attempts."""

    name: str
    folders: list[Path]
    labels: list[dict[str, str]]
    failures: list[str]  # "" where the last attempt did not fail


def _last_failure(attempts: Path) -> str:
    """Of the ledger, one line for each event; lines cut off by a kill are passed over."""
    told = ""
    try:
        lines = attempts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        try:
            event = json.loads(line)
            if event["event"] == "end" and int(event["code"]) not in (0, 75):
                told = f"its last attempt ended with code {event['code']}" + (
                    f": {event['message']}" if event.get("message") else "")
            elif event["event"] in ("begin", "retry", "end"):
                told = ""
        except (ValueError, KeyError, TypeError):
            continue
    return told


def read_plan(folder: Path) -> Plan | None:
    """The plan of a sweep's folder; None where it is none. ValueError where its manifest is damaged."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        runs = manifest["runs"]
        return Plan(str(manifest["name"]), [folder / "runs" / str(run["folder"]) for run in runs],
                    [{str(name): str(value) for name, value in run.get("labels", {}).items()} for run in runs],
                    [_last_failure(folder / "attempts" / f"{run['id']}.jsonl") for run in runs])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is no manifest of a sweep ({type(error).__name__}: {error})") from error


@dataclass
class Sweep:
    name: str
    runs: list[Run] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # of what was named but holds no run
    planned: str = ""  # the names of the sweeps among what was opened

    @property
    def tables(self) -> list[str]:
        """Names of the tables of any run."""
        return list(dict.fromkeys(name for run in self.runs for name in run.known_tables)) or list(TABLES)

    def _standardised(self, table: str) -> str:
        name = "/" + table.strip("/")
        if name not in self.tables:
            raise KeyError(f"there is no table {table}; tables are {', '.join(self.tables)}")
        return name

    def read(self, *tables: str) -> None:
        """Reads these tables of all runs, all unless told; those that were read already are left out."""
        wanted = [name for name in map(self._standardised, tables or self.tables)
                  if any(name not in run.tables and run.meta for run in self.runs)]
        if not wanted:
            return
        readable = [run for run in self.runs if run.meta]
        for run, read in zip(readable, open_runs([run.path for run in readable], tables=wanted, summary=False)):
            run.tables |= read.tables
            run.problems += [problem for problem in read.problems if problem not in run.problems]
            for name in wanted:
                run.tables.setdefault(name, run.table(name))

    def frame(self, table: str = "runs") -> pd.DataFrame:
        """Tidy: one row a run, or one row a run and step (and site) of a table such as `/eval/validation`."""
        if table == "runs":
            return runs_frame(self.runs)
        self.read(table)
        return table_frame(self.runs, self._standardised(table))

    def dataset(self, table: str) -> xr.Dataset:
        """A table over run, step and, where it has them, site."""
        self.read(table)
        return table_dataset(self.runs, self._standardised(table))

    def named(self) -> list[tuple[Run, str]]:
        """Runs that are not complete, or have problems, with what is to be said about them."""
        return [(run, "; ".join([run.condition, *run.problems])) for run in self.runs
                if run.condition != "complete" or run.problems]


def open_sweep(where: Path | str | Iterable[Path | str], whole: bool = False) -> Sweep:
    """The runs of a sweep's folder, of folders that hold runs, of runs, or of several of these. whole: read all
    their tables at once, not when asked for. FileNotFoundError where there is not one run."""
    paths = [Path(where)] if isinstance(where, (str, Path)) else [Path(path) for path in where]
    folders: list[Path] = []
    labels: dict[Path, dict[str, str]] = {}
    failures: dict[Path, str] = {}
    names: list[str] = []
    problems: list[str] = []
    for path in paths:
        try:
            plan = read_plan(path)
        except ValueError as error:
            problems.append(str(error))
            plan = None
        found = plan.folders if plan else find_runs(path)
        if plan:
            names.append(plan.name)
            labels |= dict(zip(plan.folders, plan.labels))
            failures |= dict(zip(plan.folders, plan.failures))
        elif not found:
            problems.append(f"{path}: {'holds no run' if path.exists() else 'does not exist'}")
        folders += found
    folders = list(dict.fromkeys(folders))
    if not folders:
        raise FileNotFoundError("; ".join(problems) or "no run was named")
    runs = open_runs(folders, tables=None if whole else ())
    for run, folder in zip(runs, folders):
        run.labels = labels.get(folder, {})
        if failures.get(folder) and run.condition != "complete":
            run.condition = "failed" if run.condition in ("waiting", "unreadable", "killed") else run.condition
            run.problems.append(failures[folder])
    planned = ", ".join(names)
    return Sweep(planned or ", ".join(path.name or str(path) for path in paths), runs, problems, planned)
