"""Reads the run files of tether and makes frames, tables, figures and reports of them.

    run = open_run("runs/segnn-ace-9d55f363c229")       # whatever its state: run.condition, run.problems
    run.table("/eval/validation")["projected"]          # columns as arrays, with units
    run_dataset(run)                                    # all of it as one xarray.Dataset

    sweep = open_sweep("sweeps/first")                  # a sweep, a folder of runs, or a list of either
    sweep.frame()                                       # tidy pandas.DataFrame: one row a run, every key of its job
    sweep.frame("/eval/validation")                     # one row a run and step; /constraint: and site
    sweep.dataset("/constraint")                        # xarray.Dataset over run, step, site
    compare(sweep.frame(), "projected_test")            # mean, 95 % interval, paired tests against strict, by seed
    estimate(values), paired_test(by_seed, base_by_seed)    # the same for numbers of any origin

Rooms:

    run_file, hdf5_reading   one run.h5, in whatever state, as numbers with units
    careful, lease           many runs, of which some may be damaged; is the process that writes one alive?
    sweep, tidy              sets of runs as frames and sets
    grouping                 which runs are repetitions of one another, and what they are compared with
    statistics, comparison   means, 95 % intervals over seeds, tests paired by seed
    tables, figures, page, report    what people read
"""
import os

# Run files are only ever read here, and beside a writer only through SWMR; locks would add nothing
# but failures on file systems that have none.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

from .careful import open_runs  # noqa: E402
from .comparison import compare, varying_keys  # noqa: E402
from .run_file import TABLES, Run, Table, find_runs, open_run  # noqa: E402
from .statistics import Estimate, PairedTest, estimate, paired, paired_test  # noqa: E402
from .sweep import Sweep, open_sweep  # noqa: E402
from .tidy import run_dataset, runs_frame, table_dataset, table_frame  # noqa: E402

__all__ = ["TABLES", "Estimate", "PairedTest", "Run", "Sweep", "Table", "compare", "estimate", "find_runs", "open_run",
           "open_runs", "open_sweep", "paired", "paired_test", "run_dataset", "runs_frame", "table_dataset",
           "table_frame", "varying_keys"]
