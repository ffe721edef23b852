"""Opens many runs in processes of their own: HDF5 can crash or hang on a damaged file, and one such file
must not cost the report over all others. A child reads run after run; where it dies or takes too long,
that run is named and a new child goes on with the next. A long list is shared by several children.
"""
from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

from .run_file import Run, open_run

PATIENCE_S = 60.0  # for one run
MANY = 16  # a child more for each so many runs, up to the cores of this machine


def _read_all(paths: Sequence[Path], tables: Sequence[str] | None, summary: bool, out: Connection) -> None:
    for path in paths:
        out.send(open_run(path, tables, summary))


class _Reader:
    """A part of the list with the child that reads it now."""

    def __init__(self, paths: Sequence[Path], tables: Sequence[str] | None, summary: bool, patience_s: float) -> None:
        self.paths, self.tables, self.summary, self.patience_s = paths, tables, summary, patience_s
        self.runs: list[Run] = []
        self._start()

    def _start(self) -> None:
        if self.done:
            return
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        self.child = context.Process(target=_read_all, daemon=True,
                                     args=(self.paths[len(self.runs):], self.tables, self.summary, sender))
        self.child.start()
        sender.close()
        self.deadline = time.monotonic() + self.patience_s

    @property
    def done(self) -> bool:
        return len(self.runs) == len(self.paths)

    def receive(self) -> None:
        try:
            self.runs.append(self.receiver.recv())
        except EOFError:
            self.give_up("reading crashed the HDF5 library")
            return
        self.deadline = time.monotonic() + self.patience_s
        if self.done:
            self._end()

    def give_up(self, reason: str) -> None:
        """Names the run that broke the child, and goes on behind it."""
        self.child.kill()
        self._end()
        broken = Run(Path(self.paths[len(self.runs)]).resolve(), "unreadable")
        broken.problems.append(f"run.h5 cannot be read (truncated or damaged): {reason}")
        self.runs.append(broken)
        self._start()

    def _end(self) -> None:
        self.child.join()
        self.receiver.close()


def open_runs(paths: Sequence[Path], patience_s: float = PATIENCE_S, tables: Sequence[str] | None = None,
              summary: bool = True) -> list[Run]:
    """One Run for each path, in order, whatever is in the files; tables, summary: as open_run's."""
    parts = max(1, min(8, len(os.sched_getaffinity(0)), len(paths) // MANY))
    bounds = [len(paths) * part // parts for part in range(parts + 1)]
    readers = [_Reader(paths[begin:end], tables, summary, patience_s) for begin, end in zip(bounds[:-1], bounds[1:])]
    while reading := {reader.receiver: reader for reader in readers if not reader.done}:
        pause = min(reader.deadline for reader in reading.values()) - time.monotonic()
        ready = wait(list(reading), timeout=max(0.0, pause))
        for receiver, reader in reading.items():
            if receiver in ready:
                reader.receive()
            elif time.monotonic() >= reader.deadline and not reader.receiver.poll():
                reader.give_up(f"reading took more than {patience_s:g} s")
    return [run for reader in readers for run in reader.runs]
