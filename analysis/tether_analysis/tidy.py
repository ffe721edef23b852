"""Runs as pandas frames and xarray sets: one row a run, or one row a run and step (and site). Units and
long names lie in `frame.attrs["units"]` and `frame.attrs["long_names"]` by column, or at each variable
of a set. Nothing is left out: what a run lacks is NaN.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .grouping import flat
from .run_file import Run, Table

if TYPE_CHECKING:  # both take long to import; who only wants a report does not pay for them
    import pandas as pd
    import xarray as xr

IDENTITY = ("run", "data", "model", "method", "seed")  # of every row of every frame
NOT_KEYS = ("seed", "name", "schema_version")  # of the job: columns of another name


def _largest(values: Any) -> float:
    return float(np.max(np.abs(values))) if np.size(values) else float("nan")


def _facts(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "run": run.name, "data": str(run.job.get("data", {}).get("set", "unknown")), "model": run.model,
        "method": run.method, "seed": run.seed, "condition": run.condition, "steps": run.steps,
        "total_steps": run.total_steps, "metric": str(run.meta.get("metric", ""))}
    for mode in ("projected", "relaxed"):
        best = run.best.get(mode)
        there = best is not None and best.step >= 0
        for part in ("step", "validation", "test"):
            facts[f"{mode}_{part}"] = getattr(best, part) if there else np.nan
    facts["deployed"] = run.deployed
    facts["deployed_test"] = facts[f"{run.deployed}_test"]
    facts |= {"wall_s": run.wall_s, "gamma_max": _largest(run.last.get("gamma", ())),
              "lambda_max": _largest(run.last.get("lambda", ())), "slack_max": _largest(run.last.get("slack", ())),
              "parameters_equivariant": run.meta.get("parameters_equivariant", np.nan),
              "parameters_free": run.meta.get("parameters_free", np.nan)}
    facts |= {name: run.meta.get(name, "") for name in ("ranks", "threads", "devices", "hosts", "started", "git_commit",
                                                         "job_hash")}
    facts |= {f"label.{name}": value for name, value in run.labels.items()}
    for name, value in flat(run.job).items():
        if name not in NOT_KEYS:
            facts[name] = tuple(value) if isinstance(value, list) else value
    facts |= {"problems": "; ".join(run.problems), "path": str(run.path)}
    return facts


RUN_NAMES = {"condition": "complete, running, killed, stopped, failed, starting, waiting or unreadable",
             "steps": "optimisation steps done", "total_steps": "optimisation steps planned",
             "metric": "the task's headline metric", "deployed": "the evaluation the method is deployed with",
             "wall_s": "time since the start of training, pauses left out", "gamma_max": "largest |gamma| of a site at the end",
             "lambda_max": "largest |lambda| of a site at the end", "slack_max": "largest slack of a site at the end"}


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run: what it is, how it stands, its best figures (chosen on validation, read on test), and every
    key of its resolved job under its dotted name."""
    import pandas as pd

    facts = [_facts(run) for run in runs]
    frame = pd.DataFrame(facts)
    for name in frame.columns[frame.dtypes == float]:  # whole numbers stay whole where a run lacks them
        if all(isinstance(fact[name], int) for fact in facts if name in fact):
            frame[name] = frame[name].astype("Int64")
    names = dict(RUN_NAMES)
    for mode in ("projected", "relaxed"):
        names |= {f"{mode}_step": f"step of the best evaluation, {mode}",
                  f"{mode}_validation": f"metric on validation there, {mode}",
                  f"{mode}_test": f"metric on test there, {mode}"}
    metric_units = sorted({run.metric_units for run in runs if run.meta})
    metric = metric_units[0] if len(metric_units) == 1 else "mixed" if metric_units else "1"
    units = {"wall_s": "s"} | {name: metric for name in frame.columns if name.endswith(("_validation", "_test"))}
    frame.attrs["units"] = {name: units.get(name, "1") for name in frame.select_dtypes("number").columns}
    frame.attrs["long_names"] = {name: text for name, text in names.items() if name in frame.columns}
    return frame


def _described(tables: Sequence[Table], columns: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Units and long names by column; `mixed` where runs disagree."""
    units, names = {}, {}
    for column in columns:
        found = sorted({table.units[column] for table in tables if column in table.units})
        units[column] = found[0] if len(found) == 1 else "mixed"
        names[column] = next((table.long_names[column] for table in tables if column in table.long_names), column)
    return units, names


def _of_sites(table: Table) -> list[str]:
    return [name for name, values in table.columns.items() if values.ndim == 2]


def _stacked(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0)


def table_frame(runs: Sequence[Run], name: str) -> pd.DataFrame:
    """One row a run and step of a table such as `/eval/validation`; of a table with sites one row a run, step
    and site. Columns: run, data, model, method, seed, step, epoch, (site,) and the table's own."""
    import pandas as pd

    having = [run for run in runs if len(run.table(name))]
    tables = [run.table(name) for run in having]
    sited = any(_of_sites(table) and run.sites for run, table in zip(having, tables))
    if sited:
        having = [run for run in having if run.sites]
        tables = [run.table(name) for run in having]
    widths = [len(run.sites) if sited else 1 for run in having]
    lengths = [len(table) * width for table, width in zip(tables, widths)]
    columns = list(dict.fromkeys(column for table in tables for column in table.columns
                                 if column != "step" and (sited or table[column].ndim == 1)))
    codes = np.repeat(np.arange(len(having)), lengths)
    out: dict[str, Any] = {}
    for identity in IDENTITY:
        values = [run.seed if identity == "seed" else _facts_of(run, identity) for run in having]
        out[identity] = np.asarray(values)[codes] if identity == "seed" else pd.Categorical(
            np.asarray(values, dtype=object)[codes]) if len(values) else []
    steps = [np.repeat(table["step"], width) for table, width in zip(tables, widths)]
    epochs = [run.epoch_of(step) for run, step in zip(having, steps)]
    out["step"] = _stacked(steps)
    out["epoch"] = _stacked([np.full(len(step), np.nan) if epoch is None else epoch for step, epoch in zip(steps, epochs)])
    if sited:
        out["site"] = pd.Categorical(_stacked([np.tile(np.asarray(run.sites, dtype=object), len(table))
                                               for run, table in zip(having, tables)]))
    for column in columns:
        out[column] = _stacked([_as_rows(table, column, width) for table, width in zip(tables, widths)])
    frame = pd.DataFrame(out)
    units, names = _described(tables, columns)
    frame.attrs["units"] = {"step": "1", "epoch": "1"} | units
    frame.attrs["long_names"] = {"step": "optimisation steps done", "epoch": "passes over the training data"} | names
    return frame


def _facts_of(run: Run, identity: str) -> str:
    return {"run": run.name, "data": str(run.job.get("data", {}).get("set", "unknown")), "model": run.model,
            "method": run.method}[identity]


def _as_rows(table: Table, column: str, width: int) -> NDArray[Any]:
    values = table.get(column)
    return values.reshape(-1) if values.ndim == 2 else np.repeat(values, width)


def table_dataset(runs: Sequence[Run], name: str) -> xr.Dataset:
    """A table of all runs with dimensions run, step (the union of their steps) and, where it has them, site."""
    import xarray as xr

    having = [run for run in runs if len(run.table(name))]
    tables = [run.table(name) for run in having]
    steps = np.unique(np.concatenate([table["step"] for table in tables])) if tables else np.empty(0)
    sites = list(dict.fromkeys(site for run in having for site in run.sites))
    columns = list(dict.fromkeys(column for table in tables for column in table.columns if column != "step"))
    units, names = _described(tables, columns)
    variables: dict[str, Any] = {}
    for column in columns:
        sited = any(column in _of_sites(table) for table in tables)
        values = np.full((len(having), len(steps), len(sites)) if sited else (len(having), len(steps)), np.nan)
        for at, (run, table) in enumerate(zip(having, tables)):
            if column not in table.columns:
                continue
            rows = np.searchsorted(steps, table["step"])
            if sited:
                places = np.array([sites.index(site) for site in run.sites], dtype=np.intp)
                values[at][np.ix_(rows, places)] = table[column]
            else:
                values[at, rows] = table[column]
        variables[column] = (("run", "step", "site") if sited else ("run", "step"), values,
                             {"units": units[column], "long_name": names[column]})
    coordinates: dict[str, Any] = {"run": [run.name for run in having],
                                   "step": ("step", steps, {"units": "1", "long_name": "optimisation steps done"}),
                                   "seed": ("run", [run.seed for run in having])}
    coordinates |= {key: ("run", [_facts_of(run, key) for run in having]) for key in ("data", "model", "method")}
    if any("site" in entry[0] for entry in variables.values()):
        coordinates["site"] = sites
    return xr.Dataset(variables, coordinates, {"table": name})


def run_dataset(run: Run) -> xr.Dataset:
    """Everything of one run: variables such as `validation_projected` over `validation_step`."""
    import xarray as xr

    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {"site": run.sites}
    for name, table in run.tables.items():
        short = name.rpartition("/")[2]
        for column, values in table.columns.items():
            described = {"units": table.units[column], "long_name": table.long_names[column]}
            if column == "step":
                coordinates[f"{short}_step"] = (f"{short}_step", values, described)
            else:
                dimensions = (f"{short}_step", "site") if values.ndim == 2 else (f"{short}_step",)
                variables[f"{short}_{column}"] = (dimensions, values, described)
    attributes = {name: value for name, value in run.meta.items()} | {"condition": run.condition, "run": run.name}
    return xr.Dataset(variables, coordinates, attributes)
