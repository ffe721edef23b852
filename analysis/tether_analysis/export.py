"""The command analysis/export: runs in forms that other programs read. Frames as CSV or Parquet (one file a
table, units in columns.csv or in the fields' metadata), the result tables as Markdown or LaTeX, the
report's figures as PDF, scalars as TensorBoard event files. Exit codes: 0 done, 2 usage, 3 data, 14 storage.
"""
from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from . import figures, site_figures, sweep_figures
from .comparison import compare
from .grouping import Family, families
from .markup import latex, markdown
from .storage import write_whole
from .style import Picture
from .sweep import Sweep, open_sweep
from .tables import results, scale_of
from .tensorboard import event_file

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = "example: analysis/export sweeps/first --out exported --as csv,latex"
NEEDS = {"csv": ("pandas",), "parquet": ("pandas", "pyarrow")}
Written = Iterator[tuple[str, "str | bytes"]]  # name below --out, and content


def frames(sweep: Sweep) -> Iterator[tuple[str, pd.DataFrame]]:
    """By name of file: runs, comparison (of the deployed evaluation), and the tables that have rows."""
    runs = sweep.frame()
    yield "runs", runs
    if (runs["condition"] == "complete").any():
        yield "comparison", compare(runs)
    for table in sweep.tables:
        frame = sweep.frame(table)
        if len(frame):
            yield table.rpartition("/")[2], frame


def _csv(sweep: Sweep) -> Written:
    import pandas as pd

    described = []
    for name, frame in frames(sweep):
        yield f"{name}.csv", frame.to_csv(index=False)
        described += [(f"{name}.csv", column, frame.attrs.get("units", {}).get(column, ""),
                       frame.attrs.get("long_names", {}).get(column, "")) for column in frame.columns]
    yield "columns.csv", pd.DataFrame(described, columns=["file", "column", "units", "long_name"]).to_csv(index=False)


def _parquet(sweep: Sweep) -> Written:
    import pyarrow
    import pyarrow.parquet

    for name, frame in frames(sweep):
        units, names = frame.attrs.get("units", {}), frame.attrs.get("long_names", {})
        plain = frame.copy()
        plain.attrs = {}
        for column in plain.columns[plain.dtypes == object]:  # a column of a job's key may hold words and numbers
            if plain[column].map(type).nunique() > 1 or plain[column].map(lambda value: isinstance(value, tuple)).any():
                plain[column] = plain[column].map(lambda value: None if value != value else str(value))
        table = pyarrow.Table.from_pandas(plain, preserve_index=False)
        schema = pyarrow.schema([field.with_metadata({"units": str(units.get(field.name, "")),
                                                      "long_name": str(names.get(field.name, ""))})
                                 for field in table.schema], table.schema.metadata)
        out = BytesIO()
        pyarrow.parquet.write_table(table.cast(schema), out)
        yield f"{name}.parquet", out.getvalue()


def _tensorboard(sweep: Sweep) -> Written:
    sweep.read()
    for run in sweep.runs:
        if any(len(table) for table in run.tables.values()):
            yield f"tensorboard/{run.name}/events.out.tfevents.0000000000.tether", event_file(run)


def _results(sweep: Sweep, form: str) -> Written:
    sweep.read()
    parts = []
    for number, family in enumerate(families(sweep.runs)):
        caption = f"{family.title[:1].upper()}{family.title[1:]}"
        parts.append(f"## {caption}\n\n{markdown(results(family))}" if form == "md" else
                     latex(results(family), caption + ".", f"tab:results{number + 1}"))
    yield f"results.{form}", "\n".join(parts)


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=-]+", "-", text).strip("-").lower()


def _pictures(family: Family) -> Iterator[tuple[str, Picture | None]]:
    scale, label = scale_of(family)
    yield "validation", figures.validation(family, "f", scale, label)
    yield "training", figures.training(family, "f")
    yield "equivariance-error", figures.symmetry(family, "f", figures.symmetry_units(family))
    yield "timing", figures.timing(family, "f")
    yield "scaling", sweep_figures.scaling(family, "f")
    for key in sweep_figures.varying_numbers(family):
        yield f"sensitivity-{key}", sweep_figures.sensitivity(family, key, "f", scale, label)
    yield "phase-portraits", site_figures.phase_portraits(family, "f")
    yield "slack", site_figures.slack_by_depth(family, "f")
    for group in family.groups:
        if group.has_branches:
            yield f"sites-{group.label}", site_figures.ranked_sites(group, "f")
            for run in group.runs:
                yield f"gates-{run.name}", figures.constraint(run, "f")


def _pdf(sweep: Sweep) -> Written:
    sweep.read()
    for family in families(sweep.runs):
        for name, picture in _pictures(family):
            if picture is not None:
                yield f"figures/{_file_name(family.title)}/{_file_name(name)}.pdf", picture.pdf()


FORMS: dict[str, Callable[[Sweep], Written]] = {
    "csv": _csv, "parquet": _parquet, "tensorboard": _tensorboard, "pdf": _pdf,
    "markdown": lambda sweep: _results(sweep, "md"), "latex": lambda sweep: _results(sweep, "tex")}


def _forms(text: str) -> list[str]:
    wanted = [word for word in text.replace(",", " ").split() if word]
    for word in wanted:
        if word not in FORMS:
            raise argparse.ArgumentTypeError(f"there is no form '{word}'; forms are {', '.join(FORMS)}")
    return wanted


def _missing(forms: Sequence[str]) -> list[str]:
    needed = dict.fromkeys(package for form in forms for package in NEEDS.get(form, ()))
    return [package for package in needed if importlib.util.find_spec(package) is None]


def command(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="analysis/export", epilog=EXAMPLE, description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN",
                        help="a sweep's folder, a run's folder, its run.h5, or a folder that holds runs")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to; is made")
    parser.add_argument("--as", dest="forms", type=_forms, default=["csv"], metavar="FORM,…",
                        help=f"{', '.join(FORMS)} (default csv)")
    options = parser.parse_args(arguments)
    missing = _missing(options.forms)
    if missing:
        print(f"export: {', '.join(missing)} is missing for {', '.join(options.forms)}: "
              f"{sys.executable} -m pip install {' '.join(missing)}", file=sys.stderr)
        return 2
    try:
        sweep = open_sweep(options.runs)
    except FileNotFoundError as error:
        print(f"export: {error}", file=sys.stderr)
        return 3
    for told in [*sweep.problems, *(f"{run.name} is {text}" for run, text in sweep.named())]:
        print(f"export: {told}", file=sys.stderr)
    try:
        for form in options.forms:
            for name, content in FORMS[form](sweep):
                path = options.out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, content)
                print(path)
    except OSError as error:
        print(f"export: cannot write {error.filename or options.out}: {error.strerror}", file=sys.stderr)
        return 14
    return 0
