"""Reads the run files of tether and makes tables, figures and reports of them.

    run_file    one run.h5, in whatever state, as numbers with units
    careful     many runs, of which some may be damaged
    lease       is the process that writes a run alive?
    grouping    which runs are repetitions of one another, and what they are compared with
    statistics  means and 95 % intervals over seeds, paired by seed
    tables, figures, page, report    what people read
"""
import os

# Run files are only ever read here, and beside a writer only through SWMR; locks would add nothing
# but failures on file systems that have none.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

from .careful import open_runs  # noqa: E402
from .run_file import Run, find_runs, open_run  # noqa: E402

__all__ = ["Run", "find_runs", "open_run", "open_runs"]
