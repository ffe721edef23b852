"""Reads HDF5 files that may be written at the same moment: patience with a chunk in the making, whole
tables in few calls. The lower layer of h5py is used for tables, since its upper one takes most of the
time where a thousand files of forty short columns are opened.
"""
from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5i, h5o, h5s
from numpy.typing import NDArray

T = TypeVar("T")


def retried(action: Callable[[], T]) -> T:
    """A writer may be in the middle of a chunk; the same read succeeds a moment later."""
    for _ in range(8):
        try:
            return action()
        except (OSError, RuntimeError):
            time.sleep(0.01)
    return action()


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return [plain(entry) for entry in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


def open_for_reading(path: Path) -> h5py.File:
    """Beside a writer. HDF5 answers a wrong checksum under SWMR with up to 100 attempts, each after twice
    the pause of the one before: on damaged files, for ever. h5py has no word for fewer."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    set_attempts = ctypes.CDLL(h5py.h5p.__file__).H5Pset_metadata_read_attempts
    set_attempts.argtypes = (ctypes.c_int64, ctypes.c_uint)
    if set_attempts(access.id, 12) < 0:
        raise OSError("cannot set up access")
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(str(path).encode(), flags, fapl=access))


def _attribute(attribute: h5a.AttrID) -> Any:
    values = np.empty(attribute.shape, dtype=attribute.dtype)
    attribute.read(values)
    return plain(values if values.ndim else values[()])


def attributes(file: h5py.File, path: str) -> dict[str, Any]:
    item = h5o.open(file.id, path.encode())
    names: list[bytes] = []
    h5a.iterate(item, lambda name, *_: names.append(name))
    return {name.decode("utf-8", errors="replace"): _attribute(h5a.open(item, name)) for name in names}


def text_attribute(item: h5d.DatasetID, name: str, default: str) -> str:
    return str(_attribute(h5a.open(item, name.encode()))) if h5a.exists(item, name.encode()) else default


def columns(file: h5py.File, path: str, leave_out: Sequence[str]) -> dict[str, h5d.DatasetID]:
    """The one- and two-dimensional datasets of a group, by name."""
    group = h5o.open(file.id, path.encode())
    if not isinstance(group, h5g.GroupID):
        return {}
    found: dict[str, h5d.DatasetID] = {}
    for name in group:
        text = name.decode("utf-8", errors="replace")
        if text in leave_out:
            continue
        item = h5o.open(group, name)
        if h5i.get_type(item) == h5i.DATASET and item.rank in (1, 2):
            found[text] = item
    return found


def first_rows(item: h5d.DatasetID, rows: int) -> NDArray[Any]:
    shape = item.shape
    values = np.empty((rows, *shape[1:]), dtype=item.dtype)
    if values.size == 0:
        return values
    if rows == shape[0]:
        item.read(h5s.ALL, h5s.ALL, values)
    else:
        space = item.get_space()
        space.select_hyperslab((0,) * len(shape), values.shape)
        item.read(h5s.create_simple(values.shape), space, values)
    return values


def last_row(file: h5py.File, path: str, committed: int | None) -> Any:
    """The last committed row of a dataset: a number, or [sites]; None where there is none."""
    if path not in file:
        return None
    item = h5o.open(file.id, path.encode())
    rows = item.shape[0] if committed is None else min(committed, item.shape[0])
    if rows < 1:
        return None
    values = np.empty((1, *item.shape[1:]), dtype=item.dtype)
    if values.size:
        space = item.get_space()
        space.select_hyperslab((rows - 1,) + (0,) * (values.ndim - 1), values.shape)
        item.read(h5s.create_simple(values.shape), space, values)
    return values[0]
