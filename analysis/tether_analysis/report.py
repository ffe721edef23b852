"""The command analysis/report: which runs, which file, exit codes (0 done, 2 usage, 3 data, 14 storage)."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .grouping import Family, families
from .page import write_page
from .scaling_file import is_scaling, read_scaling
from .storage import write_whole
from .sweep import Sweep, open_sweep
from .tables import Cell, TableText, results, scale_of

EXAMPLE = "example: analysis/report runs/quick-* --out report.html"


def _aligned(table: TableText) -> str:
    columns = [0, 1, 2, 3, 4, 5, 6, 9]  # what fits a terminal; the page has all
    lines = [[row[c].text for c in columns] for row in [table.head, *table.rows]]
    widths = [max(len(line[c]) for line in lines) for c in range(len(columns))]
    return "\n".join("  ".join(text.ljust(width) if c == 0 else text.rjust(width)
                               for c, (text, width) in enumerate(zip(line, widths))) for line in lines)


def _text_tables(found: Sequence[Family]) -> str:
    out = []
    for family in found:
        table = results(family)
        label = scale_of(family)[1]
        for column, text in ((2, "projected"), (3, "against strict"), (4, "relaxed"), (5, "against strict")):
            table.head[column] = Cell(text)
        notes = "\n".join(note for note in table.notes if note.startswith(("*", "Not counted", "The baseline")))
        out.append(f"{family.title}, test {label}, best on validation\n{_aligned(table)}" + (f"\n{notes}" if notes else ""))
    return "\n\n".join(out)


def _title(sweep: Sweep) -> str:
    return f"Sweep {sweep.planned}" if sweep.planned else "tether report"


def command(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="analysis/report", epilog=EXAMPLE,
                                     description="One self-contained HTML page from run files.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN",
                        help="a sweep's folder, a run's folder, its run.h5, a folder that holds runs, or a file of "
                             "slurm/multi_node_benchmark")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default report.html)")
    parser.add_argument("--title", help="its heading")
    parser.add_argument("--table", action="store_true", help="also print the result table")
    options = parser.parse_args(arguments)
    scaling = [path for path in options.runs if is_scaling(path)]
    others = [path for path in options.runs if path not in scaling]
    try:
        measured = [read_scaling(path) for path in scaling]
        sweep = open_sweep(others, whole=True) if others or not scaling else Sweep("", [])
    except (FileNotFoundError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 3
    for problem in sweep.problems:
        print(f"report: {problem}", file=sys.stderr)
    runs = sweep.runs
    for run in runs:
        if run.condition != "complete" or run.problems:
            told = f": {'; '.join(run.problems)}" if run.problems else ""
            print(f"report: {run.path.name} is {run.condition}{told}", file=sys.stderr)
    found = families(runs)
    title = options.title or ("Scaling" if measured and not runs else _title(sweep))
    page = write_page(runs, found, title, sweep.problems, measured)
    try:
        write_whole(options.out, page)
    except OSError as error:
        print(f"report: cannot write {options.out}: {error.strerror}", file=sys.stderr)
        return 14
    if options.table:
        print(_text_tables(found))
    print(f"report {options.out.resolve()}")
    return 0
