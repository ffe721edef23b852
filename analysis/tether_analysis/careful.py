"""Opens many runs in a process of its own: HDF5 can crash or hang on a damaged file, and one such file
must not cost the report over all others. The child reads run after run; where it dies or takes too long,
that run is named and a new child goes on with the next.
"""
from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from .run_file import Run, open_run

PATIENCE_S = 60.0  # for one run


def _read_all(paths: Sequence[Path], out: Connection) -> None:
    for path in paths:
        out.send(open_run(path))


def _read_until_broken(paths: Sequence[Path], patience_s: float) -> tuple[list[Run], str]:
    """The runs up to the first that broke the reader, and how it did."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_read_all, args=(paths, sender), daemon=True)
    child.start()
    sender.close()
    runs: list[Run] = []
    reason = ""
    try:
        for _ in paths:
            if not receiver.poll(patience_s):
                reason = f"reading took more than {patience_s:g} s"
                break
            runs.append(receiver.recv())
    except EOFError:
        reason = "reading crashed the HDF5 library"
    finally:
        if reason:
            child.kill()
        child.join()
        receiver.close()
    return runs, reason


def open_runs(paths: Sequence[Path], patience_s: float = PATIENCE_S) -> list[Run]:
    """One Run for each path, in order, whatever is in the files."""
    runs: list[Run] = []
    while len(runs) < len(paths):
        found, reason = _read_until_broken(paths[len(runs):], patience_s)
        runs += found
        if reason:
            broken = Run(Path(paths[len(runs)]).resolve(), "unreadable")
            broken.problems.append(f"run.h5 cannot be read (truncated or damaged): {reason}")
            runs.append(broken)
    return runs
