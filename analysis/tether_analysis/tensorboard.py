"""Scalars of a run as a TensorBoard event file, written without TensorBoard: records of TFRecord framing
(length, masked CRC-32C of it, data, masked CRC-32C of the data) that hold Event messages of
tensorboard/compat/proto/event.proto: wall_time = 1, step = 2, file_version = 3, summary = 5; in it values
with tag = 1 and simple_value = 2.
"""
from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Iterator

import numpy as np

from .run_file import Run


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # Castagnoli, reflected
        table.append(value)
    return table


CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = CRC_TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def _block(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _event(wall_time: float, step: int, scalars: list[tuple[bytes, float]]) -> bytes:
    values = b"".join(_block(1, _block(1, tag) + b"\x15" + struct.pack("<f", value)) for tag, value in scalars)
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step) + _block(5, values)


def _started(run: Run) -> float:
    try:
        return datetime.datetime.fromisoformat(str(run.meta["started"]).replace("Z", "+00:00")).timestamp()
    except (KeyError, ValueError):
        return 0.0


def _as_float(value: float) -> float:
    """Within the range of a 32-bit float, else infinite: packing refuses more."""
    return value if not math.isfinite(value) or abs(value) < 3.4e38 else math.copysign(math.inf, value)


def _tagged(run: Run) -> Iterator[tuple[int, bytes, float]]:
    """(step, tag, value): `validation/projected`, `constraint/gamma/layer0.update1`."""
    for name, table in run.tables.items():
        short = name.rpartition("/")[2]
        for column, values in table.columns.items():
            if column == "step":
                continue
            tags = [f"{short}/{column}/{site}" for site in run.sites] if values.ndim == 2 else [f"{short}/{column}"]
            for tag, series in zip(tags, values.T if values.ndim == 2 else [values]):
                series = np.asarray(series, dtype=float)
                if np.all(np.isnan(series)):  # what the method lacks
                    continue
                yield from ((int(step), tag.encode(), float(value)) for step, value in zip(table["step"], series))


def event_file(run: Run) -> bytes:
    """All tables that were read, ordered by step; the time of an event is that of its step."""
    by_step: dict[int, list[tuple[bytes, float]]] = {}
    for step, tag, value in _tagged(run):
        by_step.setdefault(step, []).append((tag, _as_float(value)))
    train = run.table("/train")
    known = len(train) > 0 and "wall_s" in train.columns
    steps = sorted(by_step)
    after = np.interp(steps, np.asarray(train["step"], dtype=float), train["wall_s"]) if known else np.zeros(len(steps))
    begin = _started(run)
    out = [_record(b"\x09" + struct.pack("<d", begin) + _block(3, b"brain.Event:2"))]
    out += [_record(_event(begin + float(elapsed), step, by_step[step])) for step, elapsed in zip(steps, after)]
    return b"".join(out)
